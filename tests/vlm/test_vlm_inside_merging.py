"""Tokens merged before the language model and cut between its layers."""

from __future__ import annotations

from typing import Any

import pytest
from staged_selectors import Steps
from vlm_models import CASES

import stgraph
from stgraph.errors import UnavailableError
from stgraph.selection.stages import Stage

GREEDY = dict(max_new_tokens=3, do_sample=False, output_logits=True, return_dict_in_generate=True)


def test_merging_between_layers_without_their_states_is_refused() -> None:
    case = CASES["qwen2_vl"](1)
    merging = stgraph.selector("framefusion", retain_ratio=0.5)

    class Late(Steps):
        def begin(self, tokens: Any, layer: int) -> Any:
            state = super().begin(tokens, layer)
            return type(state)(state.stage, None, lambda attention: merging.select(tokens))

    with (
        stgraph.compress(case.model, Late(Stage(1))),
        pytest.raises(UnavailableError, match="without a stage that reads"),
    ):
        case.model(**case.inputs)
