"""Selectors that read the prompt's text or the LLM's states, beside their plain restatements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles_text import cdpruner, dart
from parity_cases import CASES, Case, parity

from stgraph import VideoTokens, selector
from stgraph.errors import InputError, MissingSignalError
from stgraph.kernels.cpu.dpp import greedy_dpp

SMALL = [case for case in CASES if case.T * case.H * case.W <= 300]
TINY = [case for case in CASES if case.T * case.H * case.W <= 120]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"theta": 0.3}, {"theta": 0.0}])
def test_cdpruner(options: dict[str, Any]) -> None:
    parity("cdpruner", cdpruner(**options), on=SMALL, exact_ties=False, max_excused=2, **options)


@pytest.mark.slow
def test_cdpruner_over_the_video() -> None:
    parity("cdpruner", cdpruner("video"), on=TINY, exact_ties=False, max_excused=2, scope="video")


def with_clip(case: Case) -> VideoTokens:
    rng = np.random.default_rng(case.seed)
    tokens = case.tokens()
    joint = {
        "clip_joint": rng.standard_normal((case.T, case.H * case.W, 6)).astype(np.float32),
        "text_joint": rng.standard_normal((3, 6)).astype(np.float32),
    }
    return VideoTokens(tokens.features, tokens.grid, {**tokens.signals, **joint})


def test_cdpruner_by_clip() -> None:
    for case in TINY[::3]:
        tokens = with_clip(case)
        found = selector("cdpruner", **case.limits(), relevance="clip").select(tokens)
        video = case.video().__class__.of(tokens)
        expected = cdpruner(relevance="clip")(video, case.count(video.n), case.ratio(video.n))
        if len(found) < video.n:
            assert found.nodes.tolist() == sorted(expected.kept)
    with pytest.raises(MissingSignalError, match="'clip_joint'"):
        selector("cdpruner", n_keep=1, relevance="clip").select(CASES[0].tokens())


def test_dependent_rows_do_not_stop_the_picks() -> None:
    """Half of the rows identical, or all: the official code divides by the root of nothing, and keeps too few."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((64, 80))
    rows[32:] = rows[0]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    picks = greedy_dpp(rows, np.linspace(0.1, 1, 64), 48)
    assert np.unique(picks).size == 48
    assert picks[-16:].tolist() == list(range(62, 46, -1))  # by quality alone; 63 stood for its twins
    assert greedy_dpp(np.ones((64, 1)), np.ones(64), 16).tolist() == list(range(16))
    assert greedy_dpp(np.zeros((4, 2)), np.ones(4), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("options", [{}, {"pivots": 1, "text_pivots": 0}, {"pivots": 7, "text_pivots": 2}])
def test_dart_embedding(options: dict[str, Any]) -> None:
    parity("dart-embedding", dart(**options), max_excused=1, **options)


@pytest.mark.parametrize("options", [{}, {"pivots": 2, "text_pivots": 0}])
def test_dart(options: dict[str, Any]) -> None:
    parity("dart", dart(states=True, **options), exact_ties=False, max_excused=1, **options)


def test_dart_knows_the_final_norm() -> None:
    tokens = CASES[17].tokens()
    plain = selector("dart", n_keep=9).select(tokens)
    assert plain.exactness == "approximate: hidden states without the weights of the final norm"
    assert (plain.account.n_input, plain.account.prune_layer) == (30, 2)
    d = tokens.signals["llm_hidden"].shape[-1]
    for weight, same in ((np.full(d, 3.0), True), (np.arange(d) ** 3.0, False)):
        signals = {**tokens.signals, "llm_norm_weight": weight.astype(np.float32)}
        found = selector("dart", n_keep=9).select(VideoTokens(tokens.features, tokens.grid, signals))
        assert found.exactness == "exact"
        assert (found.indices.tolist() == plain.indices.tolist()) == same


def test_without_text_pivots_no_text_is_needed() -> None:
    chosen = selector("dart-embedding", n_keep=5, text_pivots=0)
    assert chosen.requires == frozenset()
    assert len(chosen.select(VideoTokens.from_array(np.ones((2, 3, 3, 4), np.float32)))) == 5


def test_a_prompt_without_text_behind_the_video() -> None:
    none = {"text_embeds": np.ones((0, 4), np.float32)}
    tokens = VideoTokens.from_array(np.ones((2, 3, 3, 4), np.float32), signals=none)
    with pytest.raises(InputError, match="no text tokens after the video"):
        selector("cdpruner", n_keep=5).select(tokens)
    assert selector("dart-embedding", n_keep=5).select(tokens).report["n_text_pivots"] == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cdpruner", {"relevance": "llm"}),
        ("cdpruner", {"theta": 1.0}),
        ("cdpruner", {"theta": -0.1}),
        ("cdpruner", {"scope": "clip"}),
        ("dart", {"pivots": 0}),
        ("dart", {"text_pivots": -1}),
        ("dart", {"layer": 28}),
    ],
)
def test_parameters_out_of_range(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        selector(name, n_keep=1, **options)
