"""Qwen2.5-VL for vLLM; derived from the classes of 0.32.0, which 0.33.0 has unchanged."""

from __future__ import annotations

from vllm import __version__
from vllm.model_executor.models.qwen2_5_vl import (
    Qwen2_5_VLDummyInputsBuilder,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLMultiModalProcessor,
    Qwen2_5_VLProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from stgraph.serving.releases import check_names
from stgraph.serving.vllm_models.cpu_runner import tell_cpu_runner
from stgraph.serving.vllm_models.mrope_model import HOOKS, PROCESSOR_HOOKS, PruningModel, PruningProcessor

check_names(Qwen2_5_VLMultiModalProcessor, PROCESSOR_HOOKS, __version__)
check_names(Qwen2_5_VLForConditionalGeneration, HOOKS, __version__)


class StgraphQwen2_5_VLMultiModalProcessor(PruningProcessor, Qwen2_5_VLMultiModalProcessor):
    """The processor whose placeholders are those of the tokens to be kept."""


@MULTIMODAL_REGISTRY.register_processor(
    StgraphQwen2_5_VLMultiModalProcessor, info=Qwen2_5_VLProcessingInfo, dummy_inputs=Qwen2_5_VLDummyInputsBuilder
)
class StgraphQwen2_5_VLForConditionalGeneration(PruningModel, Qwen2_5_VLForConditionalGeneration):
    """The model whose video rows are those the selector keeps."""


tell_cpu_runner(StgraphQwen2_5_VLForConditionalGeneration)
