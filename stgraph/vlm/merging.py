"""Replacement of embeddings by the merged tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stgraph.devices import beside
from stgraph.selection.result import Selection, merge_tensor
from stgraph.selection.stages import Waiting
from stgraph.vlm.keywords import visual_of


def with_merged(inputs: Mapping[str, Any], row: int, start: int, state: Selection | Waiting) -> dict[str, Any]:
    """Inputs of the text model with one video's merged tokens in place of the kept ones, in the model's dtype.

    Visual features for deeper layers (DeepStack) are merged with the same weights.

    Parameters
    ----------
    inputs : keyword arguments of the text model, not changed
    row, start : row of the batch, and column at which the video starts
    state : a merging selection, or the remaining tokens while one waits
    """
    embeds = inputs["inputs_embeds"].clone()
    stop = start + state.assignment.shape[1]
    kept = beside(state.indices if isinstance(state, Selection) else state.rows, embeds)
    embeds[row, start + kept] = merge_tensor(state.assignment, embeds[row, start:stop])
    out = {**inputs, "inputs_embeds": embeds}
    visual = visual_of(inputs)
    if visual is None:
        return out
    entry = visual.reshape(-1).cumsum(0).view(visual.shape)[row, start:stop] - 1
    there = visual[row, start:stop]
    levels = []
    for level in inputs["deepstack_visual_embeds"]:
        span = level.new_zeros(stop - start, level.shape[1])
        span[there] = level[entry[there]]
        merged = level.clone()
        merged[entry[kept]] = merge_tensor(state.assignment, span)
        levels.append(merged)
    out["deepstack_visual_embeds"] = levels
    return out
