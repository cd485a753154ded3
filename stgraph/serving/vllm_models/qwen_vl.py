"""Shared parts of Qwen2-VL and Qwen2.5-VL: grids from the processor, three-axis positions, CUDA graphs of the
encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from stgraph.grid import TokenGrid
from stgraph.serving.mrope import own_positions, starts_of_runs
from stgraph.serving.vllm_models.model import HOOKS, Encoded, Medium, PruningModel
from stgraph.serving.vllm_models.processor import PruningProcessor

QWEN_HOOKS = (
    *HOOKS,
    "_process_video_input",
    "get_encoder_cudagraph_config",
    "get_mrope_input_positions",
    "iter_mm_grid_thw",
)


class QwenProcessor(PruningProcessor):
    """Grids after merging, from the processor's own."""

    def grids(self, processed: Mapping[str, Any]) -> list[TokenGrid]:
        if "video_grid_thw" not in processed:
            return []
        merge = self.info.get_hf_config().vision_config.spatial_merge_size
        return [_grid(size, merge) for size in torch.as_tensor(processed["video_grid_thw"]).tolist()]


class QwenModel(PruningModel):
    """Rows and positions of images and videos, with placeholders between marks."""

    visual: Any

    def encoded(self, modality: str, given: Any) -> Iterator[Encoded]:
        merge = self.visual.spatial_merge_size
        if modality.startswith("image"):
            rows = self._process_image_input(given)  # type: ignore[attr-defined]
            for x, size in zip(rows, given["image_grid_thw"].tolist(), strict=True):
                yield Encoded(x, own_positions(*_grid(size, merge).shape, 1.0, x.device))
            return
        rows = self._process_video_input(given)  # type: ignore[attr-defined]
        sizes = given["video_grid_thw"].tolist()
        per_second = getattr(self.config.vision_config, "tokens_per_second", 1.0)
        seconds = given.get("second_per_grid_ts")
        factors = [1.0] * len(sizes) if seconds is None else [float(s) for s in torch.as_tensor(seconds).reshape(-1)]
        for x, size, factor in zip(rows, sizes, factors, strict=True):
            grid = _grid(size, merge)
            yield Encoded(x, own_positions(*grid.shape, per_second * factor, x.device), grid)

    def media(self, mm_features: Sequence[Any]) -> list[Medium]:
        grids = self.iter_mm_grid_thw(mm_features)  # type: ignore[attr-defined]
        return [Medium(g[0], f.mm_position.length, *g[1:]) for f, g in zip(mm_features, grids, strict=True)]

    def starts(self, positions: Any, is_medium: Any) -> Any:
        return starts_of_runs(positions, is_medium)

    def get_encoder_cudagraph_config(self) -> Any:
        """CUDA graphs of the encoder bypass :meth:`embed_multimodal`: they are off for all modalities while videos are
        pruned."""
        found = super().get_encoder_cudagraph_config()  # type: ignore[misc]
        return replace(found, modalities=[]) if self.is_multimodal_pruning_enabled else found


def _grid(size: Sequence[int], merge: int) -> TokenGrid:
    return TokenGrid(size[0], size[1] // merge, size[2] // merge)
