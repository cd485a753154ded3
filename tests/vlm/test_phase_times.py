"""Where the time of a running model goes: phases add up to the prompt's pass, in every family."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs transformers and torch: pip install -e '.[hf]'")

from vlm_models import CASES

import stgraph
from stgraph.vlm.families import parts_of
from stgraph.vlm.model_tower import projector_of
from stgraph.vlm.phase_times import PhaseTimes


@pytest.mark.parametrize("family", CASES)
@pytest.mark.parametrize("compressed", [False, True])
def test_phases_are_together_the_pass(family: str, compressed: bool) -> None:
    case = CASES[family](1)
    compression = stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.5)) if compressed else None
    with PhaseTimes(parts_of(case.model)) as phases, compression or nullcontext():
        case.model.generate(**case.inputs, do_sample=False, max_new_tokens=3, min_new_tokens=3)
    spent = phases.prompt(None if compression is None else compression.stats)
    assert sum(spent.values()) == pytest.approx(phases.forward_s[0])
    assert spent["tower_s"] > 0 and spent["prefill_s"] > 0
    assert (spent["select_s"] > 0) == compressed and spent["probe_s"] == 0
    assert len(phases.forward_s) > 1


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl"])  # a projector beside the tower, and inside it
def test_a_slow_module_shows_in_its_phase_alone(family: str) -> None:
    case = CASES[family](1)
    parts = parts_of(case.model)
    slow = {"tower_s": parts.vision, "projector_s": projector_of(parts), "prefill_s": parts.text.layers[0]}
    for phase, module in slow.items():
        with PhaseTimes(parts) as phases:
            handle = module.register_forward_pre_hook(_sleep)  # behind the clock's own
            case.model(**case.inputs)
        handle.remove()
        spent = phases.prompt()
        assert spent[phase] > 0.2 and max(spent, key=lambda name: spent[name]) == phase


def test_nothing_stays_on_the_model() -> None:
    case = CASES["llava_onevision"](1)

    def hooks() -> int:
        return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in case.model.modules())

    before = hooks()
    with PhaseTimes(parts_of(case.model)):
        assert hooks() == before + 6
    assert hooks() == before


def _sleep(*_: Any) -> None:
    time.sleep(0.2)
