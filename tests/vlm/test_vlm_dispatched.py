"""Models whose parts accelerate has hooked, as ``device_map`` over several devices and offloading do: same results."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from vlm_models import CASES, torch, transformers

import stgraph

accelerate = pytest.importorskip("accelerate", reason="needs accelerate: pip install accelerate")

GREEDY = dict(max_new_tokens=3, do_sample=False, output_logits=True, return_dict_in_generate=True)
SELECTORS: dict[str, dict[str, Any]] = {
    "evs": {},
    "st-simdiff": {"tau_sim": 0.1},
    "fastv": {},
    "visionzip": {"attention": "received"},
}


def offloaded(model: Any) -> Any:
    return accelerate.cpu_offload(model, execution_device="cpu")


def sharded(model: Any) -> Any:
    """As by ``dispatch_model``: each part moves its inputs to its device, and the whole its outputs back."""
    hook = accelerate.hooks.AlignDevicesHook
    accelerate.hooks.add_hook_to_module(model, hook(io_same_device=True))
    for module in model.modules():
        if module is not model and next(module.parameters(recurse=False), None) is not None:
            accelerate.hooks.add_hook_to_module(module, hook(execution_device="cpu"))
    return model


@pytest.mark.filterwarnings("ignore:You are calling .generate.. with the `input_ids` being on a device")
@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("way", [offloaded, sharded])
@pytest.mark.parametrize("family", ["llava_next_video", "qwen2_vl", "qwen3_vl"])
def test_it_selects_and_answers_the_same(family: str, way: Callable[[Any], Any], name: str) -> None:
    if (family, way) == ("qwen3_vl", offloaded) and transformers.__version__ < "5":
        pytest.skip("transformers 4 cannot offload Qwen3-VL, compressed or not")
    case, found = CASES[family](2), []
    for model in (case.model, way(copy.deepcopy(case.model))):
        selector = stgraph.selector(name, retain_ratio=0.4, **SELECTORS[name])
        with stgraph.compress(model, selector) as stats:
            out = model.generate(**case.inputs, **GREEDY)
        found.append((torch.stack(out.logits), [video.nodes.tolist() for video in stats.videos]))
    (logits, nodes), (same, same_nodes) = found
    assert same_nodes == nodes and len(nodes) == 2
    assert torch.equal(same, logits)
