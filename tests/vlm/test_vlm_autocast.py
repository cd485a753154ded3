"""Under ``torch.autocast`` the model computes in 16 bits, and selections still in the dtype of what they are given."""

from __future__ import annotations

from typing import Any

import pytest
from image_prompts import PROMPTS
from vlm_models import CASES, noise, torch

import stgraph
from stgraph.vlm.attention_row import last_row, summed_maximum, text_maximum, text_mean
from stgraph.vlm.encoder_signals import ATTENTION_SIGNALS, attention_signals

QUERY, KEY = noise(1, 4, 50, 16), noise(1, 2, 50, 16, seed=1)
SEEN, AT = torch.ones(1, 50, dtype=torch.bool), torch.arange(45, 50)
TURNED = torch.rand(2, 50, 16, generator=torch.Generator().manual_seed(2)).unbind()


def of_encoder() -> dict[str, Any]:
    return attention_signals(ATTENTION_SIGNALS, QUERY, KEY, 0.25)


READS = {
    "last": lambda: last_row(QUERY, KEY, None, SEEN, {}),
    "text": lambda: text_maximum(QUERY, KEY, None, SEEN, {}, AT),
    "product": lambda: summed_maximum(QUERY, KEY, None, SEEN, {}, AT),
    "raters": lambda: text_mean(QUERY, KEY, None, SEEN, {}, AT),
    "raters-even": lambda: text_mean(QUERY, KEY, None, SEEN, {}, AT, TURNED, AT, torch.arange(9)),
    "encoder": lambda: torch.cat(
        [x.flatten() for x in attention_signals(ATTENTION_SIGNALS, QUERY, KEY, 0.25).values()]
    ),
}


@pytest.mark.parametrize("name", READS)
def test_attention_is_read_in_single_precision(name: str) -> None:
    expected = READS[name]()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = READS[name]()
    assert found.dtype == expected.dtype == torch.float32
    assert torch.equal(found, expected)


@torch.no_grad()
@pytest.mark.parametrize("name", ["st-simdiff", "fastv"])
def test_the_model_runs_under_it_and_the_selector_does_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["qwen2_vl"](1)
    selector = stgraph.selector(name, retain_ratio=0.3, **({"tau_sim": 0.1} if name == "st-simdiff" else {}))
    inside: list[bool] = []
    begin = type(selector).begin

    def watching(self: Any, *args: Any) -> Any:
        inside.append(torch.is_autocast_enabled("cpu"))
        waiting = begin(self, *args)
        resume = waiting.resume

        def resumed(*given: Any) -> Any:
            inside.append(torch.is_autocast_enabled("cpu"))
            return resume(*given)

        object.__setattr__(waiting, "resume", resumed)
        return waiting

    monkeypatch.setattr(type(selector), "begin", watching)
    layers: list[Any] = []
    handle = case.text.layers[0].mlp.register_forward_hook(lambda module, args, output: layers.append(output.dtype))
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), stgraph.compress(case.model, selector) as stats:
            case.model(**case.inputs)
    finally:
        handle.remove()
    assert inside == [False, False]
    assert set(layers) == {torch.bfloat16} and stats.videos[0].n_kept < stats.videos[0].n_visual


@torch.no_grad()
@pytest.mark.parametrize("family", ["llava_onevision", "llava_next"])
def test_newlines_of_tiles_are_found(family: str) -> None:
    prompt = PROMPTS[family]()
    selector = stgraph.selector("divprune", retain_ratio=0.3)
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        stgraph.compress(prompt.case.model, selector, images=True) as stats,
    ):
        prompt.case.model(**prompt.case.inputs)
    assert [(record.sample, record.medium, record.grid) for record in stats.videos] == [p[:3] for p in prompt.pictures]
