"""LLaVA-OneVision for vLLM; derived from the classes of 0.32.0, unchanged in 0.33.0 except for a type alias.

Its tokens have one position each. So that kept tokens can keep theirs, the engine is given three axes, of which only
the first rotates (one_axis.py); the second holds the start of each image or video.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vllm import __version__
from vllm.model_executor.models.llava_onevision import (
    LlavaOnevisionDummyInputsBuilder,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionMultiModalProcessor,
    LlavaOnevisionProcessingInfo,
)

from stgraph.errors import UnavailableError
from stgraph.grid import TokenGrid
from stgraph.serving.mrope import own_positions
from stgraph.serving.releases import TESTED
from stgraph.serving.vllm_models.model import HOOKS, Encoded, Medium, PruningModel
from stgraph.serving.vllm_models.processor import N_TOKENS, PruningProcessor
from stgraph.serving.vllm_models.served import served

_STRIDE = 2  # of the pooling, in transformers and in vLLM


class OnevisionInfo(LlavaOnevisionProcessingInfo):
    """Facts the engine would otherwise find with a dummy video, before there is a worker to select its tokens."""

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        return {"image": self.get_max_image_tokens(), "video": self.get_max_video_tokens(seq_len, mm_counts)}


class OnevisionProcessor(PruningProcessor):
    """A grid per video, from its frames; its newline is always kept."""

    n_extra = 1

    def grids(self, processed: Mapping[str, Any]) -> list[TokenGrid]:
        side = _side(self.info.get_hf_config())
        return [TokenGrid(len(frames), side, side) for frames in processed.get("pixel_values_videos", ())]


class OnevisionModel(PruningModel):
    """Rows and positions of images and videos, which may be adjacent."""

    n_extra = 1

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        model = vllm_config.model_config
        if model.get_multimodal_config().is_multimodal_pruning_enabled() and not model.uses_mrope:
            raise UnavailableError(
                f"vLLM {__version__} did not give the language model axes of positions, without which kept tokens "
                f"would move: it has no MODELS_CONFIG_MAP, as {', '.join(TESTED)} has. Install that release"
            )
        super().__init__(vllm_config=vllm_config, prefix=prefix)

    @property
    def media_tokens(self) -> tuple[int, int]:
        return self.config.image_token_index, self.config.video_token_index

    def encoded(self, modality: str, given: Any) -> Iterator[Encoded]:
        if modality == "image":
            for x in self._process_image_input(given):  # type: ignore[attr-defined]
                yield Encoded(x, own_positions(len(x), 1, 1, 1.0, x.device))
            return
        side = _side(self.config)
        for x in self._process_video_pixels(given):  # type: ignore[attr-defined]
            rows = x.reshape(-1, x.shape[-1])
            n = len(rows) - self.n_extra
            yield Encoded(rows, own_positions(len(rows), 1, 1, 1.0, x.device), TokenGrid(n // side**2, side, side))

    def media(self, mm_features: Sequence[Any]) -> list[Medium]:
        def length(feature: Any) -> int:
            return int(feature.mm_position.length if feature.modality == "image" else feature.data[N_TOKENS].data)

        return [Medium(f.mm_position.offset, f.mm_position.length, length(f), 1, 1, 1.0) for f in mm_features]

    def starts(self, positions: Any, is_medium: Any) -> Any:
        return positions[1, is_medium].expand(3, -1)


def _side(config: Any) -> int:
    """Rows and columns of tokens per frame."""
    vision = config.vision_config
    return int(-(-(vision.image_size // vision.patch_size) // _STRIDE))


@served(
    OnevisionProcessor,
    LlavaOnevisionMultiModalProcessor,
    OnevisionInfo,
    LlavaOnevisionDummyInputsBuilder,
    (*HOOKS, "_process_video_pixels"),
)
class StgraphLlavaOnevisionForConditionalGeneration(OnevisionModel, LlavaOnevisionForConditionalGeneration):
    """The model with the video rows kept by the selector."""
