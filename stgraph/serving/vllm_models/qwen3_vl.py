"""Qwen3-VL for vLLM: refused, with the reason."""

from __future__ import annotations

from typing import Any

from vllm.model_executor.models.qwen3_vl import (
    Qwen3VLDummyInputsBuilder,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMultiModalProcessor,
    Qwen3VLProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from stgraph.errors import UnavailableError

REASON = (
    "Qwen3-VL cannot be served by stgraph's plugin yet: its prompt has a timestamp before each frame, so the number "
    "of tokens each frame keeps would have to be known before there are features, and the positions vLLM rebuilds "
    "after pruning are wrong with transformers from 5.10 on. Serve Qwen2.5-VL, or use stgraph.compress()"
)


@MULTIMODAL_REGISTRY.register_processor(
    Qwen3VLMultiModalProcessor, info=Qwen3VLProcessingInfo, dummy_inputs=Qwen3VLDummyInputsBuilder
)
class StgraphQwen3VLForConditionalGeneration(Qwen3VLForConditionalGeneration):
    """Raises UnavailableError before any weight is read."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        raise UnavailableError(REASON)
