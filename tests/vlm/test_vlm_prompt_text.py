"""The prompt's text as a signal: in dumps, and in a running model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from vlm_models import CASES, Case, torch
from vlm_more_models import ALL
from vlm_oracle import seen_by_text_model

import stgraph
from stgraph.errors import InputError
from stgraph.vlm.model_dump import load_model_source
from stgraph.vlm.model_tokens import model_tokens

Make = Callable[[int], Case]


@torch.no_grad()
def inputs_of(case: Case) -> dict[str, Any]:
    with seen_by_text_model(case) as calls:
        case.model(**case.inputs)
    found: dict[str, Any] = calls[0]
    return found


def behind(case: Case, row: int, inputs: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The embeddings of the real tokens behind the video's last one."""
    embeds, mask = inputs["inputs_embeds"][row], case.inputs.get("attention_mask")
    last = int(case.columns(row).max())
    columns = [i for i in range(last + 1, len(embeds)) if mask is None or int(mask[row, i])]
    found: np.ndarray[Any, Any] = embeds[columns].numpy()
    return found


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_a_dump_holds_the_text_behind_the_video(make: Make) -> None:
    case = make(1)
    found = model_tokens(case.model, case.inputs, ("text_embeds",))
    expected = behind(case, 0, inputs_of(case))
    text = found.query["text_embeds"]
    assert len(text) >= 1 and set(found.query) == {"text_embeds"}
    assert np.array_equal(text, expected[len(expected) - len(text) :])
    assert len(expected) - len(text) <= 1  # a newline or a marker that belongs to the video
    tokens = stgraph.VideoTokens(found.features, found.grid, {**found.signals, **found.query})
    assert len(stgraph.selector("cdpruner", n_keep=3).select(tokens)) == 3


@pytest.mark.parametrize("name", ["cdpruner", "dart-embedding"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl", "qwen3_vl", "internvl"])
def test_a_running_model_gives_it_too(family: str, batch: int, name: str) -> None:
    case = CASES[family](batch)
    inputs = inputs_of(case)
    chosen = stgraph.selector(name, retain_ratio=0.3)
    with torch.no_grad(), stgraph.compress(case.model, chosen) as stats:
        case.model(**case.inputs)
    assert len(stats.videos) == batch
    for row, record in enumerate(stats.videos):
        T, H, W = case.grids[row]
        features = inputs["inputs_embeds"][row, case.columns(row)[: T * H * W]].view(T, H, W, -1)
        text = behind(case, row, inputs)
        tokens = stgraph.VideoTokens.from_array(features.numpy(), signals={"text_embeds": text})
        assert record.nodes.tolist() == chosen.select(tokens).nodes.tolist()


def test_the_text_needs_a_prompt() -> None:
    with pytest.raises(InputError, match="text_embeds depends on the prompt; give the question"):
        load_model_source("nowhere", signals=("text_embeds",))
