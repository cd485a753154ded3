"""LLaVA-Video on transformers' LlavaOnevision: pooling and newlines as specified by ``config.mm_*``.

After ``get_2dPool`` and ``add_token_per_grid`` of LLaVA-NeXT (Apache-2.0, https://github.com/LLaVA-VL/LLaVA-NeXT,
``llava/model/llava_arch.py``), restated.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from .video_embeddings import VideoEmbeddingsForConditionalGeneration, VideoEmbeddingsModel


class LlavaVideoModel(VideoEmbeddingsModel):
    """Frames pooled with stride 2, newlines after rows, frames, the video, or nowhere."""

    def apply_pooling(self, image_features: Any) -> Any:
        """[n, side * side, d] to [n, pooled * pooled, d]: bilinear to ceil(side / 2), average and max to side // 2."""
        n, _, d = image_features.shape
        side = self.config.vision_config.image_size // self.config.vision_config.patch_size
        x = image_features.view(n, side, side, d).permute(0, 3, 1, 2).contiguous()
        mode = getattr(self.config, "mm_spatial_pool_mode", None) or "bilinear"
        if mode == "bilinear":
            x = functional.interpolate(x, size=[math.ceil(side / 2)] * 2, mode="bilinear")
        else:
            x = {"average": functional.avg_pool2d, "max": functional.max_pool2d}[mode](x, 2)
        return x.permute(0, 2, 3, 1).reshape(n, -1, d)

    def video_embeddings(self, pixel_values_videos: Any) -> Any:
        """[B, n, d] of [B, T, 3, h, w]."""
        B, T = pixel_values_videos.shape[:2]
        tower = self.vision_tower(pixel_values_videos.flatten(0, 1), output_hidden_states=True)
        x = tower.hidden_states[self.config.vision_feature_layer]
        x = self.apply_pooling(self.multi_modal_projector(x))
        side, d = math.isqrt(x.shape[1]), x.shape[2]
        x = x.view(B, T, side, side, d)
        newline = self.image_newline.to(x)
        where = getattr(self.config, "mm_newline_position", None) or "one_token"
        if where == "grid":
            return torch.cat([x, newline.expand(B, T, side, 1, d)], 3).flatten(1, 3)
        if where == "frame":
            return torch.cat([x.flatten(2, 3), newline.expand(B, T, 1, d)], 2).flatten(1, 2)
        if where == "one_token":
            return torch.cat([x.flatten(1, 3), newline.expand(B, 1, d)], 1)
        return x.flatten(1, 3)  # no_token


class LlavaVideoForConditionalGeneration(VideoEmbeddingsForConditionalGeneration):
    """LLaVA-Video with its language model's head."""

    base_class = LlavaVideoModel
