"""Threads that ask one compressed model at once: each gets what it gets alone, and the model is the same afterwards."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from vlm_models import torch
from vlm_state import state_of, warm
from vlm_threads import last_logits, other_video, skip_shared_state, together

import stgraph
from stgraph.vlm.stats import Stats

# Without a probe, with one, with one over the whole prompt, and merging.
SELECTORS: dict[str, dict[str, Any]] = {
    "evs": {},
    "st-simdiff": {"tau_sim": 0.0},
    "fastv": {},
    "framefusion": {},
}


@pytest.fixture(autouse=True)
def eager_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl", "qwen3_vl"])
def test_each_prompt_is_compressed_as_it_is_alone(family: str, name: str, batch: int) -> None:
    skip_shared_state(family)
    case = warm(family, batch)
    prompts = [other_video(case, seed) for seed in range(3)]
    selector = stgraph.selector(name, retain_ratio=0.3, **SELECTORS[name])
    plain, before = [last_logits(case, prompt) for prompt in prompts], state_of(case.model)
    with stgraph.compress(case.model, selector) as alone:
        expected = [last_logits(case, prompt) for prompt in prompts]
    with stgraph.compress(case.model, selector) as stats:
        tasks = [lambda prompt=prompt: [last_logits(case, prompt) for _ in range(3)] for prompt in prompts]
        results = together(tasks)
    for found, wanted in zip(results, expected, strict=True):
        assert not isinstance(found, Exception), found
        assert all(torch.allclose(logits, wanted, atol=1e-5) for logits in found)
    assert_records_lie_together(stats, 9, batch)
    assert sum(v.n_kept for v in stats.videos) == 3 * sum(v.n_kept for v in alone.videos)
    assert state_of(case.model) == before
    assert all(map(torch.equal, plain, [last_logits(case, prompt) for prompt in prompts]))


def assert_records_lie_together(stats: Stats, n_prompts: int, batch: int) -> None:
    """Prompts are numbered 0, 1, ... and the records of each follow one another."""
    assert [prompt.call for prompt in stats.prompts] == list(range(n_prompts))
    assert [(v.call, v.sample) for v in stats.videos] == [(i, row) for i in range(n_prompts) for row in range(batch)]


@pytest.mark.parametrize("name", SELECTORS)
def test_threads_of_text_and_video_that_generate(name: str) -> None:
    """A text prompt beside a video prompt: neither takes the other's cut; generated tokens are those of each alone."""
    skip_shared_state("llava_onevision", generates=True)
    case = warm("llava_onevision")
    greedy = dict(max_new_tokens=4, do_sample=False)
    words = torch.tensor([[3, 4, 5, 6, 7]])
    text = {"input_ids": words, "attention_mask": torch.ones_like(words)}
    prompts = [case.inputs, text, other_video(case, 1), text]
    selector = stgraph.selector(name, retain_ratio=0.3, **SELECTORS[name])
    with stgraph.compress(case.model, selector):
        expected = [case.model.generate(**prompt, **greedy) for prompt in prompts]
    with stgraph.compress(case.model, selector) as stats:
        results = together([lambda prompt=prompt: case.model.generate(**prompt, **greedy) for prompt in prompts])
    assert all(map(torch.equal, results, expected))
    assert len(stats.prompts) == 2
    assert torch.equal(results[1], case.model.generate(**text, **greedy))


@pytest.mark.parametrize("name", SELECTORS)
def test_an_exception_in_one_thread_stays_there(name: str) -> None:
    case = warm("qwen2_vl")
    selector = stgraph.selector(name, retain_ratio=0.3, **SELECTORS[name])
    before, failing = state_of(case.model), set[int]()

    def fails(module: Any, args: Any) -> None:
        if threading.get_ident() in failing:
            raise MemoryError("made up")

    def doomed() -> None:
        failing.add(threading.get_ident())
        last_logits(case, case.inputs)

    with stgraph.compress(case.model, selector):
        expected = last_logits(case, case.inputs)
        for layer in (0, 2):
            handle = case.text.layers[layer].register_forward_pre_hook(fails)
            try:
                good = [lambda: [last_logits(case, case.inputs) for _ in range(3)]] * 2
                results = together([doomed, *good, doomed])
            finally:
                handle.remove()
            assert isinstance(results[0], MemoryError)
            assert isinstance(results[3], MemoryError)
            assert all(torch.allclose(logits, expected, atol=1e-5) for logits in results[1] + results[2])
            failing.clear()
    assert state_of(case.model) == before


@pytest.mark.parametrize("name", ["st-simdiff", "fastv"])
def test_a_block_that_ends_while_another_thread_probes(name: str) -> None:
    """The model is as before at once; the prompt on its way is refused, not passed on as if it had been compressed."""
    case = warm("llava_onevision")
    before, inside, leave = state_of(case.model), threading.Event(), threading.Event()

    def waits(module: Any, args: Any) -> None:
        inside.set()
        assert leave.wait(10)

    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(together([lambda: last_logits(case, case.inputs)])))
    selector = stgraph.selector(name, retain_ratio=0.3, **SELECTORS[name])
    with stgraph.compress(case.model, selector, where="before"):
        handle = case.text.layers[0].register_forward_pre_hook(waits)
        thread.start()
        assert inside.wait(10)
        handle.remove()
    assert state_of(case.model) == before
    leave.set()
    thread.join()
    assert isinstance(results[0], stgraph.errors.UnavailableError)
    assert "left while this prompt was on its way" in str(results[0])
    assert state_of(case.model) == before


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_block_that_ends_while_a_prompt_is_between_layers(family: str, layer: int) -> None:
    """Before the cut (at layer 1) the prompt goes on whole, and is counted; behind it, it cannot go on."""
    case = warm(family)
    before, inside, leave = state_of(case.model), threading.Event(), threading.Event()

    def waits(module: Any, args: Any) -> None:
        inside.set()
        assert leave.wait(10)

    expected, results = last_logits(case, case.inputs), list[Any]()
    thread = threading.Thread(target=lambda: results.extend(together([lambda: last_logits(case, case.inputs)])))
    with stgraph.compress(case.model, stgraph.selector("fastv", retain_ratio=0.3, layer=1)) as stats:
        handle = case.text.layers[layer].mlp.register_forward_pre_hook(waits)
        thread.start()
        assert inside.wait(10)
        handle.remove()
    assert state_of(case.model) == before
    leave.set()
    thread.join()
    if layer == 0:
        assert torch.equal(results[0], expected)
        assert [left.length for left in stats.left_alone] == [case.inputs["input_ids"].shape[1]]
    else:
        assert isinstance(results[0], RuntimeError)
        assert stats.left_alone == []
    assert state_of(case.model) == before


def test_a_block_that_ends_before_another_threads_prompt_is_reached_says_so() -> None:
    case = warm("llava_onevision")
    before, inside, leave = state_of(case.model), threading.Event(), threading.Event()

    def waits(module: Any, args: Any) -> None:
        inside.set()
        assert leave.wait(10)

    expected = last_logits(case, case.inputs)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(together([lambda: last_logits(case, case.inputs)])))
    with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.3)) as stats:
        handle = case.model.model.vision_tower.register_forward_pre_hook(waits)
        thread.start()
        assert inside.wait(10)
        handle.remove()
    assert state_of(case.model) == before
    leave.set()
    thread.join()
    assert torch.equal(results[0], expected)
    (left,) = stats.left_alone
    assert (left.n_rows, left.length) == tuple(case.inputs["input_ids"].shape)
    assert "another thread" in left.reason
    assert "1 prompts with video left alone" in repr(stats)


@pytest.mark.parametrize("name", ["evs", "st-simdiff"])
def test_only_one_of_several_threads_enters(name: str) -> None:
    case = warm("qwen2_vl")
    before, hold = state_of(case.model), threading.Barrier(4)

    def enter() -> bool:
        compression = stgraph.compress(case.model, stgraph.selector(name, retain_ratio=0.3))
        try:
            compression.__enter__()
        except stgraph.errors.InputError as error:
            assert "being compressed already" in str(error)
            return hold.wait(10) < 0
        hold.wait(10)
        compression.__exit__(None, None, None)
        return True

    assert sorted(together([enter] * 4)) == [False, False, False, True]
    assert state_of(case.model) == before
