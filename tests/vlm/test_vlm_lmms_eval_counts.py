"""What the model for lmms-eval logs of a request, against what enters a tiny model."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from newline_models import llava_video
from vlm_models import PAD, Case, llava_onevision, torch

import stgraph
from stgraph.vlm.lmms_eval import plugin
from stgraph.vlm.lmms_eval.plugin import VideoChat


def answered(case: Case, selector: Any, monkeypatch: pytest.MonkeyPatch, **generation: Any) -> list[tuple[str, Any]]:
    """The texts and counts of the rows of a case."""
    batch = len(case.inputs["input_ids"])
    monkeypatch.setattr(plugin, "prompt_inputs", lambda *args, **options: case.inputs)
    model: Any = VideoChat.__new__(VideoChat)
    model._chat = lambda *args: ("", [], [])
    model.model, model.device, model.selector = case.model, torch.device("cpu"), selector
    model.hooks = {"probe_layer": 1, "positions": "original", "images": False}
    decode = lambda ids, **options: [" ".join(map(str, row)) for row in ids.tolist()]  # noqa: E731
    model.processor = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=PAD), batch_decode=decode)
    found: list[tuple[str, Any]] = model._answer([("", None, {"max_new_tokens": 3, **generation})] * batch)
    return found


@pytest.mark.parametrize("name", ["evs", "st-simdiff", "fastv", None])
def test_input_tokens_are_those_that_enter_the_llm(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newlines after LLaVA-Video's rows are dropped before the LLM; FastV drops nothing there."""
    case = llava_video("grid", 2)
    selector = None if name is None else stgraph.selector(name, retain_ratio=0.3)
    lengths: list[int] = []
    handle = case.text.layers[0].register_forward_pre_hook(lambda module, args: lengths.append(args[0].shape[1]))
    try:
        found = answered(case, selector, monkeypatch)
    finally:
        handle.remove()
    T, H, W = case.grids[0]
    dropped = 0 if name in ("fastv", None) else T * H * (W + 1) - math.ceil(0.3 * T * H * W)
    expected = [n - dropped for n in case.inputs["attention_mask"].sum(1).tolist()]
    assert [counts.input_tokens for _, counts in found] == expected
    assert max(expected) == lengths[-3]  # two further tokens follow the prompt


def test_without_a_cache_the_prompt_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    case, selector = llava_onevision(2), stgraph.selector("evs", retain_ratio=0.3)
    cached = answered(case, selector, monkeypatch)
    found = answered(case, selector, monkeypatch, use_cache=False)
    assert [text for text, _ in found] == [text for text, _ in cached]
    for (_, counts), (_, expected) in zip(found, cached, strict=True):
        assert counts.input_tokens == expected.input_tokens
        assert counts.selection["n_kept"] == expected.selection["n_kept"]
