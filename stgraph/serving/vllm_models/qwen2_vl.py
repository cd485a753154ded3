"""Qwen2-VL for vLLM; derived from the classes of 0.32.0, unchanged in 0.33.0."""

from __future__ import annotations

from vllm.model_executor.models.qwen2_vl import (
    Qwen2VLDummyInputsBuilder,
    Qwen2VLForConditionalGeneration,
    Qwen2VLMultiModalProcessor,
    Qwen2VLProcessingInfo,
)

from stgraph.serving.vllm_models.qwen_vl import QWEN_HOOKS, QwenModel, QwenProcessor
from stgraph.serving.vllm_models.served import served


@served(QwenProcessor, Qwen2VLMultiModalProcessor, Qwen2VLProcessingInfo, Qwen2VLDummyInputsBuilder, QWEN_HOOKS)
class StgraphQwen2VLForConditionalGeneration(QwenModel, Qwen2VLForConditionalGeneration):
    """The model with the video rows kept by the selector."""
