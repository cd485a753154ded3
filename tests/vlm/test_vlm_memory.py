"""What compress() holds between prompts: no tensor of a prompt that failed or is finished, as after out of memory."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from vlm_models import CASES, torch

import stgraph

SELECTORS: dict[str, dict[str, Any]] = {
    "evs": {},
    "st-simdiff": {"tau_sim": 0.1},
    "fastv": {},
    "framefusion-attention": {"n_layers": 4},
    "visionzip": {"attention": "received"},
}


def made(name: str) -> Any:
    return stgraph.selector(name, retain_ratio=0.4, **SELECTORS[name])


def alive(refs: list[Any]) -> list[bool]:
    gc.collect()
    return [ref() is not None for ref in refs]


@pytest.mark.parametrize("name", SELECTORS)
def test_nothing_of_a_prompt_that_failed(name: str) -> None:
    case, refs = CASES["qwen2_vl"](1), list[Any]()

    def fails(module: Any, args: Any, kwargs: Any) -> None:
        refs.extend(
            weakref.ref(x) for x in (args[0] if args else kwargs["hidden_states"], *kwargs["position_embeddings"])
        )
        raise RuntimeError("out of memory (made up)")

    with stgraph.compress(case.model, made(name)) as stats:
        handle = case.text.layers[3].register_forward_pre_hook(fails, with_kwargs=True)
        try:
            case.model.generate(**case.inputs, max_new_tokens=2)
        except RuntimeError:
            pass
        finally:
            handle.remove()
        assert alive(refs) == [False] * 3
        case.model.generate(**case.inputs, max_new_tokens=2)
    assert stats.videos[-1].n_kept < stats.videos[-1].n_visual


@pytest.mark.parametrize("name", SELECTORS)
def test_nothing_of_a_generation_that_is_finished(name: str) -> None:
    case, refs = CASES["qwen2_vl"](1), list[Any]()

    def note(module: Any, args: Any, kwargs: Any) -> None:
        refs.append(weakref.ref(args[0] if args else kwargs["hidden_states"]))

    with stgraph.compress(case.model, made(name)):
        handle = case.text.layers[3].register_forward_pre_hook(note, with_kwargs=True)
        try:
            out = case.model.generate(**case.inputs, max_new_tokens=2, return_dict_in_generate=True)
        finally:
            handle.remove()
        refs.append(weakref.ref(out.past_key_values))
        del out
        assert alive(refs) == [False] * 3


@pytest.mark.parametrize("family", ["qwen2_vl", "llava_next_video"])
def test_signals_of_the_encoder_serve_every_pass_without_a_cache(family: str) -> None:
    case, how = CASES[family](2), dict(max_new_tokens=3, do_sample=False)
    with stgraph.compress(case.model, made("visionzip")) as stats:
        expected = case.model.generate(**case.inputs, **how)
        assert torch.equal(case.model.generate(**case.inputs, **how, use_cache=False), expected)
        beams = case.model.generate(**case.inputs, **how, num_beams=2)
        assert torch.equal(case.model.generate(**case.inputs, **how, num_beams=2, use_cache=False), beams)
    assert len({tuple(video.nodes.tolist()) for video in stats.videos if video.sample == 0}) == 1
