"""Compiled code runs past hooks that come later: what is compiled is refused by name, before the block and inside."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from vlm_models import Case, llava_onevision, torch
from vlm_state import state_of

import stgraph
from stgraph.errors import StgraphError, UnavailableError

GREEDY = dict(max_new_tokens=3, do_sample=False)
WORDS = torch.tensor([[3, 4, 5, 6, 7]])
QUESTION = {"input_ids": WORDS, "attention_mask": torch.ones_like(WORDS)}


def evs(retain_ratio: float = 0.3) -> Any:
    return stgraph.selector("evs", retain_ratio=retain_ratio)


def compile_module(module: Any) -> None:
    module.compile(backend="eager")


def compile_forward(module: Any) -> None:
    module.forward = torch.compile(module.forward, backend="eager")


PARTS: dict[str, Callable[[Any], Any]] = {
    "the model": lambda model: model,
    "model.model": lambda model: model.model,
    "the text model": lambda model: model.model.language_model,
}
PROBED: dict[str, Callable[[Any], Any]] = {
    "decoder layer 1": lambda model: model.model.language_model.layers[1],
    "the attention of decoder layer 1": lambda model: model.model.language_model.layers[1].self_attn,
}


@pytest.fixture
def fresh() -> Iterator[Case]:
    """A model that may be compiled."""
    torch._dynamo.reset()
    case = llava_onevision(1)
    yield Case(copy.deepcopy(case.model), case.inputs, case.grids, case.token)
    torch._dynamo.reset()


@pytest.mark.parametrize("when", ["before", "within"])
@pytest.mark.parametrize("how", [compile_module, compile_forward])
@pytest.mark.parametrize("part", PARTS)
def test_a_compiled_part_is_refused_by_name(fresh: Case, part: str, how: Callable[[Any], None], when: str) -> None:
    compression = stgraph.compress(fresh.model, evs())
    before = state_of(fresh.model)
    if when == "before":
        how(PARTS[part](fresh.model))
        before = state_of(fresh.model)
        with pytest.raises(UnavailableError, match=f"{part} was compiled"), compression:
            raise AssertionError
    else:
        with compression as stats:
            how(PARTS[part](fresh.model))
            before = None
            with torch.no_grad(), pytest.raises(UnavailableError, match=f"{part} was compiled"):
                fresh.model(**fresh.inputs)
        assert not stats.videos
    assert before is None or state_of(fresh.model) == before


@pytest.mark.slow
@pytest.mark.parametrize("part", ["model.model", "the text model"])
def test_a_compiled_and_warm_part_is_refused_too(fresh: Case, part: str) -> None:
    compile_module(PARTS[part](fresh.model))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        full = fresh.model(**QUESTION).logits
        with pytest.raises(UnavailableError, match=f"{part} was compiled"), stgraph.compress(fresh.model, evs()):
            raise AssertionError
        assert torch.equal(fresh.model(**QUESTION).logits, full)


@pytest.mark.parametrize("part", PROBED)
def test_a_compiled_layer_matters_where_it_is_probed(fresh: Case, part: str) -> None:
    compile_module(PROBED[part](fresh.model))
    with stgraph.compress(fresh.model, evs()):
        pass
    compression = stgraph.compress(fresh.model, stgraph.selector("st-simdiff", retain_ratio=0.3))
    with pytest.raises(UnavailableError, match=f"{part} was compiled"), compression:
        raise AssertionError


def test_a_model_wrapped_by_torch_compile_is_refused(fresh: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(fresh.model, backend="eager")
    with pytest.raises(StgraphError, match=r"torch\.compile"), stgraph.compress(compiled, evs()):
        raise AssertionError


def test_a_step_that_generate_compiled_is_refused_at_the_prompt(fresh: Case) -> None:
    """With static caches on a GPU, generate() compiles the steps of decoding: code that runs past hooks."""
    static = GREEDY | {"cache_implementation": "static"}
    with stgraph.compress(fresh.model, evs()) as stats:
        expected = fresh.model.generate(**fresh.inputs, **GREEDY)
        assert torch.equal(fresh.model.generate(**fresh.inputs, **static), expected)
        fresh.model._compiled_call = None  # what generate() leaves there
        with pytest.raises(UnavailableError, match="disable_compile=True from the start"):
            fresh.model.generate(**fresh.inputs, **static)
        assert torch.equal(fresh.model.generate(**fresh.inputs, **GREEDY), expected)
    assert len(stats.videos) == 3
    with stgraph.compress(fresh.model, evs(1.0)):  # nothing is cut, nothing can go wrong
        fresh.model.generate(**fresh.inputs, **static)
