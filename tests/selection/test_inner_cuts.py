"""FlashVID and HoliTom with their steps inside the LLM, from a dump: counts, ranks, and what is averaged into what."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from stgraph import VideoTokens, selector
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens
from stgraph.errors import InputError, MissingSignalError

NAMES = ["flashvid-attention", "holitom-attention"]


@pytest.fixture(scope="module")
def video() -> VideoTokens:
    return synthetic_signals(VideoTokens.from_array(synthetic_tokens(12, 5, 6, 24, seed=2)), 2)


def made(name: str, ratio: float = 0.1, **how: Any) -> Any:
    return selector(name, retain_ratio=ratio, **{"layer": 2, "n_layers": 8, **how})


@pytest.mark.parametrize("name", NAMES)
def test_merged_first_then_the_most_attended(name: str, video: VideoTokens) -> None:
    share = 0.3 if name.startswith("flashvid") else 0.5
    found = made(name).select(video)
    outer = selector(name.removesuffix("-attention"), n_keep=int(36 / share)).select(video)
    attention = video.signals["llm_attn_last"][1][video.signals["seq_index"]].astype(np.float64)
    best = sorted(sorted(outer.nodes.tolist(), key=lambda node: (-attention[node], node))[:36])
    assert found.nodes.tolist() == best
    assert found.account.per_layer == [len(outer)] * 2 + [36] * 6
    whole = dict(zip(outer.nodes.tolist(), outer.assignment.toarray(), strict=True))
    assert np.array_equal(found.assignment.toarray(), np.array([whole[node] for node in best]))
    assert "attention of the sequence before merging" in found.exactness


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.7, 1.0])
def test_a_mean_over_the_layers_is_met(name: str, ratio: float, video: VideoTokens) -> None:
    found = made(name, ratio, measured="layers").select(video)
    mean = found.account.mean_over_layers
    assert ratio * 360 <= mean <= ratio * 360 + 2
    assert len(found) == made(name, ratio, measured="layers").count(video.grid)


def test_their_counts(video: VideoTokens) -> None:
    flash = made("flashvid-attention", 0.2, exact_count=False).select(video)
    assert len(flash) == math.ceil(0.3 * flash.account.n_input)
    holitom = made("holitom-attention", 0.2, exact_count=False).select(video)
    outer = selector("holitom", retain_ratio=0.2, exact_count=False).select(video)
    assert len(outer) == holitom.account.n_input and len(holitom) == round(len(outer) / 2)


def test_states_are_joined_one_after_the_other() -> None:
    rng = np.random.default_rng(3)
    states, kept = rng.normal(size=(40, 6)).astype(np.float32), rng.random(40) < 0.2
    weights = made("holitom-attention").joined(states, kept)
    units = states / np.linalg.norm(states, axis=1, keepdims=True)
    expected = states.astype(np.float64)
    stays = np.flatnonzero(kept)
    for i in np.flatnonzero(~kept):
        to = stays[np.argmax(units[i] @ units[stays].T)]
        expected[to] = (expected[to] + states[i]) / 2
    assert np.allclose(weights @ states, expected[stays], atol=1e-6)
    assert np.allclose(weights.toarray().sum(axis=1), 1)


@pytest.mark.parametrize("name", NAMES)
def test_refused(name: str, video: VideoTokens) -> None:
    with pytest.raises(InputError, match="layer is 8; an LLM of 8 layers"):
        made(name, layer=8)
    with pytest.raises(InputError, match="layer is 0; it must be an integer of at least 1"):
        made(name, layer=0)
    with pytest.raises(InputError, match="share"):
        made(name, share=0.0)
    lacking = {key: x for key, x in video.signals.items() if key != "llm_attn_last"}
    with pytest.raises(MissingSignalError, match="llm_attn_last"):
        made(name).select(VideoTokens(video.features, video.grid, lacking))
