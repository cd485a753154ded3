"""What decides about a prompt is that prompt's own: nothing of a failed, an earlier or a nested one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from vlm_models import (
    CACHE,
    Case,
    torch,
    transformers,
)
from vlm_state import state_of, warm

import stgraph
from stgraph.errors import InputError, UnavailableError
from stgraph.selection.st_simdiff.paper import StSimDiff

GREEDY = dict(max_new_tokens=4, do_sample=False)
WORDS = torch.tensor([[3, 4, 5, 6, 7]])
TEXT = {"input_ids": WORDS, "attention_mask": torch.ones_like(WORDS)}
SELECTORS = {"evs": {}, "st-simdiff": {"tau_sim": 0.0}}


def selector_of(name: str) -> Any:
    return stgraph.selector(name, retain_ratio=0.3, **SELECTORS[name])


# What comes after a prompt that failed.


@torch.no_grad()
def own_loop(case: Case, inputs: dict[str, Any]) -> list[Any]:
    """Logits of a prompt and three further tokens, by forward alone."""
    if hasattr(case.model.model, "rope_deltas"):  # of the last video prompt, and added to those of text by Qwen itself
        case.model.model.rope_deltas = None
    out, found = case.model(**inputs, use_cache=True), []
    for _ in range(3):
        found.append(out.logits[:, -1])
        token = found[-1].argmax(-1, keepdim=True)
        out = case.model(input_ids=token, use_cache=True, **{CACHE: out[CACHE]})
    return [*found, out.logits[:, -1]]


@torch.no_grad()
def text_model_alone(case: Case, inputs: dict[str, Any]) -> list[Any]:
    """The text model, asked by itself about the words of the prompt."""
    embeds = case.model.get_input_embeddings()(inputs["input_ids"])
    return [case.text(inputs_embeds=embeds, attention_mask=inputs["attention_mask"]).last_hidden_state]


def generated(case: Case, inputs: dict[str, Any]) -> list[Any]:
    return [case.model.generate(**inputs, **GREEDY)]


AFTERWARDS: dict[str, Callable[[Case, dict[str, Any]], list[Any]]] = {
    "generate": generated,
    "loop": own_loop,
    "text model": text_model_alone,
}


def afterwards(case: Case) -> dict[str, Callable[[Case, dict[str, Any]], list[Any]]]:
    """What can be asked of this model."""
    lost = transformers.__version__ < "5" and hasattr(case.model.model, "rope_deltas")  # 4.57 cannot count on by itself
    return {how: ask for how, ask in AFTERWARDS.items() if how != "loop" or not lost}


# Where it failed.


class Interrupted(BaseException):
    """Not an Exception, as KeyboardInterrupt is not: forward hooks are not told of it."""


@contextmanager
def failing(module: Any, error: type[BaseException]) -> Iterator[None]:
    """A module that fails when it is called."""

    def fails(module: Any, args: Any) -> None:
        raise error("made up")

    handle = module.register_forward_pre_hook(fails)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def failing_selector(error: type[BaseException]) -> Iterator[None]:
    """Selectors that fail when they are asked."""

    def fails(*args: Any, **kwargs: Any) -> None:
        raise error("made up")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stgraph.vlm.pruning.begin", fails)
        yield


def vision_of(case: Case) -> Any:
    base = case.model.model
    return getattr(base, "visual", None) or base.vision_tower


PLACES: dict[str, Callable[[Case, type[BaseException]], Any]] = {
    "the model": lambda case, error: failing(case.model, error),
    "the base": lambda case, error: failing(case.model.model, error),
    "the vision tower": lambda case, error: failing(vision_of(case), error),
    "the text model": lambda case, error: failing(case.text, error),
    "the first layer": lambda case, error: failing(case.text.layers[0], error),
    "a later layer": lambda case, error: failing(case.text.layers[2], error),
    "the head": lambda case, error: failing(case.model.lm_head, error),
    "the selector": lambda case, error: failing_selector(error),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize(
    ("family", "error"),
    [("llava_onevision", MemoryError), ("llava_onevision", Interrupted), ("qwen2_vl", Interrupted)],
)
def test_a_failed_prompt_leaves_nothing_behind(family: str, name: str, place: str, error: type[BaseException]) -> None:
    case = warm(family)
    before = state_of(case.model)
    text = {how: ask(case, TEXT) for how, ask in afterwards(case).items()}
    ways = {how: ask for how, ask in afterwards(case).items() if how != "text model"}
    with stgraph.compress(case.model, selector_of(name)):
        video = {how: ask(case, case.inputs) for how, ask in ways.items()}
    for way in ways.values():
        with stgraph.compress(case.model, selector_of(name)) as stats:
            for how, ask in afterwards(case).items():
                asked = {"labels": case.inputs["input_ids"]} if place in ("the base", "the vision tower") else {}
                with pytest.raises(error), PLACES[place](case, error):
                    case.model(**case.inputs, **asked)
                with pytest.raises(error), PLACES[place](case, error):
                    way(case, case.inputs)
                found = ask(case, TEXT)
                assert all(map(torch.equal, found, text[how])), how
            n_failed = len(stats.videos)
            for how, ask in ways.items():
                with pytest.raises(error), PLACES[place](case, error):
                    way(case, case.inputs)
                assert all(map(torch.equal, ask(case, case.inputs), video[how])), how
            assert len(stats.videos) - n_failed >= len(ways)
        assert state_of(case.model) == before


def test_a_cache_that_a_failed_prompt_did_not_fill_may_be_used_again() -> None:
    case = warm("llava_onevision")
    make = transformers.DynamicCache
    with torch.no_grad(), stgraph.compress(case.model, selector_of("evs")):
        expected = case.model(**TEXT, **{CACHE: make()}).logits
        cache = make()
        with pytest.raises(MemoryError), failing(case.text.layers[0], MemoryError):
            case.model(**case.inputs, **{CACHE: cache})
        assert torch.equal(case.model(**TEXT, **{CACHE: cache}).logits, expected)
        again = case.model(input_ids=torch.tensor([[9]]), **{CACHE: cache})
    assert again[CACHE].get_seq_length() == 6


# Blocks one after the other, and inside one another.


@pytest.mark.parametrize("name", SELECTORS)
def test_blocks_one_after_the_other_and_a_nested_one_that_is_refused(name: str) -> None:
    case = warm("qwen2_vl")
    before, plain = state_of(case.model), generated(case, case.inputs)
    compression = stgraph.compress(case.model, selector_of(name))
    found = []
    for _ in range(3):
        with compression:
            found.append(generated(case, case.inputs))
            with pytest.raises(InputError, match="being compressed already"), compression:
                raise AssertionError
            with pytest.raises(InputError, match="already"), stgraph.compress(case.model, selector_of("evs")):
                raise AssertionError
            inside = generated(case, case.inputs)  # the refused one took nothing away
            assert all(map(torch.equal, inside, found[-1]))
        assert state_of(case.model) == before
        assert all(map(torch.equal, generated(case, case.inputs), plain))
    assert all(map(torch.equal, found[0], found[2]))


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["the first layer", "the selector", "the vision tower"])
def test_an_exception_that_leaves_the_block(place: str, error: type[BaseException]) -> None:
    case = warm("qwen2_vl")
    before = state_of(case.model)
    with (
        pytest.raises(error),
        stgraph.compress(case.model, selector_of("st-simdiff")),
        PLACES[place](case, error),
    ):
        case.model(**case.inputs)
    assert state_of(case.model) == before


def test_a_selector_that_asks_the_model_itself() -> None:
    """A call inside a call: the inner one is a prompt of its own, and the outer one is not lost."""
    case, inner = warm("llava_onevision"), stgraph.selector("evs", retain_ratio=0.3)
    texts = []

    class Asks:
        name, requires = "asks", frozenset[str]()

        def count(self, grid: Any, budget: Any = None) -> int | None:
            return inner.count(grid, budget)

        def select(self, tokens: Any, budget: Any = None) -> Any:
            texts.append(case.model(**TEXT).logits)
            return inner.select(tokens, budget)

    with torch.no_grad():
        expected = case.model(**TEXT).logits
        with stgraph.compress(case.model, inner):
            alone = case.model(**case.inputs).logits
        with stgraph.compress(case.model, Asks()):
            assert torch.equal(case.model(**case.inputs).logits, alone)
    assert torch.equal(texts[0], expected)


@pytest.mark.parametrize("name", SELECTORS)
def test_a_copy_made_inside_the_block_is_another_model(name: str) -> None:
    case = warm("qwen2_vl")
    plain = case.model(**case.inputs).logits
    with torch.no_grad(), stgraph.compress(case.model, selector_of(name)) as stats:
        expected = case.model(**case.inputs).logits
        other = copy.deepcopy(case.model)
        inner = other.model.language_model
        assert all(layer.self_attn.config is inner.config for layer in inner.layers)
        assert torch.equal(other(**case.inputs).logits, plain)
        assert torch.equal(case.model(**case.inputs).logits, expected)
        with stgraph.compress(other, selector_of(name)):
            assert torch.equal(other(**case.inputs).logits, expected)
    assert len(stats.videos) == 2
    assert torch.equal(other(**case.inputs).logits, plain)
    replica = other._replicate_for_data_parallel()
    with (
        stgraph.compress(other, selector_of(name)),
        pytest.raises(UnavailableError, match="leave out DataParallel"),
    ):
        replica._forward_pre_hooks = other._forward_pre_hooks
        replica._forward_pre_hooks_with_kwargs = other._forward_pre_hooks_with_kwargs
        replica(**case.inputs)


def test_outputs_as_tuples() -> None:
    case = warm("llava_onevision")
    with torch.no_grad(), stgraph.compress(case.model, selector_of("evs")):
        expected = own_loop(case, case.inputs)[1]
        logits, cache = case.model(**case.inputs, return_dict=False, use_cache=True)[:2]
        found = case.model(input_ids=logits[:, -1].argmax(-1, keepdim=True), **{CACHE: cache}).logits[:, -1]
    assert torch.equal(found, expected)


def test_the_selectors_here_do_probe() -> None:
    """Or the tests above would not see a probe."""
    case = warm("qwen2_vl")
    assert isinstance(selector_of("st-simdiff"), StSimDiff)
    with stgraph.compress(case.model, selector_of("st-simdiff")) as stats:
        case.model(**case.inputs)
    assert stats.prompts[0].probe_length is not None
