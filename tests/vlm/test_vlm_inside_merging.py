"""Tokens merged before the language model and cut between its layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from staged_selectors import Steps
from vlm_levels import hidden_run, keep_rows
from vlm_models import CASES, torch
from vlm_oracle import positions_of, seen_by_text_model, video_tokens

import stgraph
from stgraph.errors import UnavailableError
from stgraph.selection.stages import Stage

GREEDY = dict(max_new_tokens=3, do_sample=False, output_logits=True, return_dict_in_generate=True)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_framefusion_merges_before_and_cuts_behind_layer_0(family: str, batch: int) -> None:
    """Merged tokens by dense matrices, their heads hidden by what layer 0 attends to."""
    case = CASES[family](batch)
    selector = stgraph.selector("framefusion-attention", retain_ratio=0.4, tau=0.3)
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY)
    with stgraph.compress(case.model, selector) as stats:
        out = case.model.generate(**case.inputs, **GREEDY)
    waiting: list[Any] = [selector.begin(video_tokens(case, row), 0) for row in range(batch)]
    levels = {layer: case.inputs["attention_mask"].bool().clone() for layer in (0, 1)}
    for row, (state, video) in enumerate(zip(waiting, stats.videos, strict=True)):
        keep_rows(case, levels[0], row, torch.from_numpy(state.rows))
        keep_rows(case, levels[1], row, torch.from_numpy(video.nodes))
        assert video.account.per_layer == [len(state.rows)] + [video.n_kept] * 3
        assert video.n_kept < len(state.rows) < video.n_visual
        assert set(video.nodes.tolist()) <= set(state.rows.tolist())

    def merged(kwargs: dict[str, Any]) -> dict[str, Any]:
        embeds, deep = kwargs["inputs_embeds"].clone(), kwargs.get("deepstack_visual_embeds")
        deep = deep and [level.clone() for level in deep]
        for row, state in enumerate(waiting):
            T, H, W = case.grids[row]
            columns, weights = case.columns(row)[: T * H * W], torch.from_numpy(state.assignment.toarray())
            rows = torch.from_numpy(state.rows)
            embeds[row, columns[rows]] = weights @ embeds[row, columns]
            first = sum(int(np.prod(grid)) for grid in case.grids[:row])
            for level in deep or []:
                span = level[first : first + T * H * W]
                span[rows] = weights @ span
        return {**kwargs, "inputs_embeds": embeds} | ({"deepstack_visual_embeds": deep} if deep else {})

    n = case.inputs["input_ids"].shape[1]
    with seen_by_text_model(case, merged):
        expected = hidden_run(case, levels, out.sequences[:, :-1], positions_of(plain)).logits[:, n - 1 :]
    assert (torch.stack(out.logits, 1) - expected).abs().max() < 1e-5


def test_merging_between_layers_is_refused() -> None:
    case = CASES["qwen2_vl"](1)
    merging = stgraph.selector("framefusion", retain_ratio=0.5)

    class Late(Steps):
        def begin(self, tokens: Any, layer: int) -> Any:
            state = super().begin(tokens, layer)
            return type(state)(state.stage, None, lambda attention: merging.select(tokens))

    with stgraph.compress(case.model, Late(Stage(1))), pytest.raises(UnavailableError, match="merges tokens between"):
        case.model(**case.inputs)
