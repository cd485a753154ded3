"""NVILA's videos on transformers' LlavaOnevision: a projector that joins neighbouring patches, the mean over frames.

After ``BasicVideoEncoder``, ``TSPVideoEncoder`` and the projectors of VILA (Apache-2.0, https://github.com/NVlabs/VILA,
``llava/model``), restated. Images, which NVILA cuts into tiles, are not part of it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from transformers import LlavaOnevisionConfig

from .video_embeddings import VideoEmbeddingsForConditionalGeneration, VideoEmbeddingsModel


class NvilaConfig(LlavaOnevisionConfig):
    """LlavaOnevision's configuration and five keys.

    ``nvila_downsample``: n x n patches become a token; ``nvila_scales``: how often a frame's features are repeated
    along channels (dynamic S2); ``nvila_pool``: (frames, rows, columns) whose mean is taken after the projector;
    ``nvila_newline_ids``: the tokens after each frame, or group of frames.
    """

    model_type = "nvila"
    nvila_downsample: int = 2
    nvila_scales: int = 1
    nvila_pool: Any = (1, 1, 1)
    nvila_newline_ids: Any = ()


class Downsample(nn.Module):
    """Patches of n x n side by side, zeros beyond an uneven edge: [B, L, c] -> [B, ceil(side / n)^2, n * n * c]."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: Any) -> Any:
        """The joined patches."""
        B, L, c = x.shape
        side, n = math.isqrt(L), self.n
        pad = -side % n
        x = nn.functional.pad(x.view(B, side, side, c), (0, 0, 0, pad, 0, pad))
        s = (side + pad) // n
        return x.view(B, s, n, s, n, c).permute(0, 1, 3, 2, 4, 5).reshape(B, s * s, n * n * c)


def projector(n: int, c: int, d: int) -> nn.Sequential:
    """``mlp_downsample``, ``mlp_downsample_2x2_fix`` (n = 2) or ``mlp_downsample_3x3_fix`` (n = 3), c channels to d."""
    head = (Downsample(n), nn.LayerNorm(n * n * c))
    if n == 2:
        return nn.Sequential(*head, nn.Linear(4 * c, d), nn.GELU(), nn.Linear(d, d))
    middle = (nn.Linear(9 * c, 3 * c), nn.GELU(), nn.LayerNorm(3 * c))
    return nn.Sequential(*head, *middle, nn.Linear(3 * c, d), nn.GELU(), nn.Linear(d, d))


class NvilaModel(VideoEmbeddingsModel):
    """NVILA's model, in which each frame is a separate picture."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        channels = config.vision_config.hidden_size * config.nvila_scales
        self.multi_modal_projector = projector(config.nvila_downsample, channels, config.text_config.hidden_size)
        # NVILA uses the output of the last block, without the norm after it.
        tower: Any = getattr(self.vision_tower, "vision_model", self.vision_tower)
        tower.post_layernorm = nn.Identity()
        # Its newline is a token's embedding; transformers initialises this one, which no checkpoint holds.
        del self.image_newline
        self.register_buffer("image_newline", torch.zeros(config.text_config.hidden_size), persistent=False)

    def video_embeddings(self, pixel_values_videos: Any) -> Any:
        """[B, n, d] of [B, T, 3, h, w]."""
        B, T = pixel_values_videos.shape[:2]
        pt, ph, pw = self.config.nvila_pool
        if T % pt:
            raise ValueError(f"the video has {T} frames, which are averaged {pt} at a time; give a multiple of {pt}")
        x = self.vision_tower(pixel_values_videos.flatten(0, 1)).last_hidden_state
        x = self.multi_modal_projector(x.repeat(1, 1, self.config.nvila_scales))
        side, d = math.isqrt(x.shape[1]), x.shape[2]
        x = x.view(B, T // pt, pt, side // ph, ph, side // pw, pw, d)
        # One axis after the other, as the authors do: in half precision the order matters.
        x = x.mean(2).mean(3).mean(4).flatten(2, 3)
        ids = torch.tensor(list(self.config.nvila_newline_ids), dtype=torch.long, device=x.device)
        newline = self.get_input_embeddings()(ids).to(x)
        return torch.cat([x, newline.expand(B, T // pt, *newline.shape)], 2).flatten(1, 2)

    def get_image_features(self, *args: Any, **kwargs: Any) -> Any:
        """Refused."""
        raise NotImplementedError("images of NVILA, which are cut into tiles, are not read here; pass videos alone")


class NvilaForConditionalGeneration(VideoEmbeddingsForConditionalGeneration):
    """NVILA with its language model's head."""

    config_class = NvilaConfig
    base_class = NvilaModel
