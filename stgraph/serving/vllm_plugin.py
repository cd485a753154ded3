"""The entry point of vLLM: names its architectures may be given in ``hf_overrides``. Nothing else changes.

::

    LLM(model, video_pruning_rate=0.7, hf_overrides={
        "architectures": ["StgraphQwen2_5_VLForConditionalGeneration"],
        "stgraph": {"selector": "st-simdiff"}})
"""

from __future__ import annotations

ARCHITECTURES = {
    "StgraphQwen2_5_VLForConditionalGeneration": "stgraph.serving.vllm_models.qwen2_5_vl",
    "StgraphQwen2VLForConditionalGeneration": "stgraph.serving.vllm_models.qwen2_vl",
    "StgraphQwen3VLForConditionalGeneration": "stgraph.serving.vllm_models.qwen3_vl",
}


def register() -> None:
    """Called by vLLM in each of its processes, possibly more than once; imports no model."""
    from vllm import ModelRegistry

    known = ModelRegistry.get_supported_archs()
    for name, module in ARCHITECTURES.items():
        if name not in known:
            ModelRegistry.register_model(name, f"{module}:{name}")
