"""vLLM's entry point: registers architecture names for ``hf_overrides``, without other changes.

::

    LLM(model, video_pruning_rate=0.7, hf_overrides={
        "architectures": ["StgraphQwen2_5_VLForConditionalGeneration"],
        "stgraph": {"selector": "st-simdiff"}})
"""

from __future__ import annotations

from contextlib import suppress

ARCHITECTURES = {
    "StgraphQwen2_5_VLForConditionalGeneration": "stgraph.serving.vllm_models.qwen2_5_vl",
    "StgraphQwen2VLForConditionalGeneration": "stgraph.serving.vllm_models.qwen2_vl",
    "StgraphLlavaOnevisionForConditionalGeneration": "stgraph.serving.vllm_models.llava_onevision",
    "StgraphQwen3VLForConditionalGeneration": "stgraph.serving.vllm_models.qwen3_vl",
}
ONE_AXIS = ("StgraphLlavaOnevisionForConditionalGeneration",)  # tokens have one position each


def register() -> None:
    """Called by vLLM in each of its processes, possibly more than once; imports no model."""
    from vllm import ModelRegistry

    known = ModelRegistry.get_supported_archs()
    for name, module in ARCHITECTURES.items():
        if name not in known:
            ModelRegistry.register_model(name, f"{module}:{name}")
    with suppress(ImportError):  # a release without such a map: a model that needs it says so when it is loaded
        from vllm.model_executor.models.config import MODELS_CONFIG_MAP

        from stgraph.serving.vllm_models.one_axis import OneAxis

        MODELS_CONFIG_MAP.update(dict.fromkeys(ONE_AXIS, OneAxis))
