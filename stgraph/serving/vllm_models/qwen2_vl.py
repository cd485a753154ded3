"""Qwen2-VL for vLLM; derived from the classes of 0.32.0."""

from __future__ import annotations

from vllm import __version__
from vllm.model_executor.models.qwen2_vl import (
    Qwen2VLDummyInputsBuilder,
    Qwen2VLForConditionalGeneration,
    Qwen2VLMultiModalProcessor,
    Qwen2VLProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from stgraph.serving.releases import check_names
from stgraph.serving.vllm_models.cpu_runner import tell_cpu_runner
from stgraph.serving.vllm_models.mrope_model import HOOKS, PROCESSOR_HOOKS, PruningModel, PruningProcessor

check_names(Qwen2VLMultiModalProcessor, PROCESSOR_HOOKS, __version__)
check_names(Qwen2VLForConditionalGeneration, HOOKS, __version__)


class StgraphQwen2VLMultiModalProcessor(PruningProcessor, Qwen2VLMultiModalProcessor):
    """The processor whose placeholders are those of the tokens to be kept."""


@MULTIMODAL_REGISTRY.register_processor(
    StgraphQwen2VLMultiModalProcessor, info=Qwen2VLProcessingInfo, dummy_inputs=Qwen2VLDummyInputsBuilder
)
class StgraphQwen2VLForConditionalGeneration(PruningModel, Qwen2VLForConditionalGeneration):
    """The model whose video rows are those the selector keeps."""


tell_cpu_runner(StgraphQwen2VLForConditionalGeneration)
