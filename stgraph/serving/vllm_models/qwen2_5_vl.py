"""Qwen2.5-VL for vLLM; derived from the classes of 0.32.0, unchanged in 0.33.0."""

from __future__ import annotations

from vllm.model_executor.models.qwen2_5_vl import (
    Qwen2_5_VLDummyInputsBuilder,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLMultiModalProcessor,
    Qwen2_5_VLProcessingInfo,
)

from stgraph.serving.vllm_models.qwen_vl import QWEN_HOOKS, QwenModel, QwenProcessor
from stgraph.serving.vllm_models.served import served


@served(
    QwenProcessor, Qwen2_5_VLMultiModalProcessor, Qwen2_5_VLProcessingInfo, Qwen2_5_VLDummyInputsBuilder, QWEN_HOOKS
)
class StgraphQwen2_5_VLForConditionalGeneration(QwenModel, Qwen2_5_VLForConditionalGeneration):
    """The model with the video rows kept by the selector."""
