"""Tiny LLaVA-Video, in its four layouts of newlines, and NVILA, with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from vlm_models import FRAMES, IMAGE, TEXT, VIDEO, Case, finished, noise, padded, row_of, transformers

from stgraph.vlm.checkpoints.modeling_llava_video import LlavaVideoForConditionalGeneration
from stgraph.vlm.checkpoints.modeling_nvila import NvilaConfig, NvilaForConditionalGeneration

# Newlines -> (tokens of a row of a frame, of a frame, of a video) that are no patches.
LAYOUTS = {"grid": (1, 0, 0), "frame": (0, 1, 0), "one_token": (0, 0, 1), "no_token": (0, 0, 0)}


@dataclass(frozen=True, eq=False)
class NewlineCase(Case):
    """A case with newlines among the placeholders."""

    newlines: str = "grid"

    def columns(self, row: int) -> Any:
        """Columns of patches alone."""
        T, H, W = self.grids[row]
        a_row, a_frame, _ = LAYOUTS[self.newlines]
        columns = (self.inputs["input_ids"][row] == self.token).nonzero()[:, 0]
        frames = columns[: T * (H * (W + a_row) + a_frame)].view(T, -1)[:, : H * (W + a_row)]
        return frames.reshape(T * H, W + a_row)[:, :W].reshape(-1)


def options(side: int) -> dict[str, Any]:
    vision = transformers.SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side * 8,
        patch_size=8,
        vision_use_head=False,
    )
    text = transformers.Qwen2Config(**TEXT, tie_word_embeddings=False)
    return dict(vision_config=vision, text_config=text, image_token_index=IMAGE, video_token_index=VIDEO)


@cache
def llava_video_model(newlines: str) -> Any:
    config = transformers.LlavaOnevisionConfig(**options(7), vision_feature_select_strategy="full")
    config.mm_newline_position, config.mm_spatial_pool_mode = newlines, "average"
    return finished(LlavaVideoForConditionalGeneration(config))


def llava_video(newlines: str, batch: int) -> NewlineCase:
    a_row, a_frame, a_video = LAYOUTS[newlines]
    n = FRAMES * (3 * (3 + a_row) + a_frame) + a_video  # 7 x 7 patches are 3 x 3 tokens by average
    rows = [row_of([[VIDEO] * n], b) for b in range(batch)]
    inputs = {**padded(rows), "pixel_values_videos": noise(batch, FRAMES, 3, 56, 56)}
    return NewlineCase(llava_video_model(newlines), inputs, [(FRAMES, 3, 3)] * batch, VIDEO, newlines=newlines)


@cache
def nvila_model(downsample: int, frames: int, patches: int) -> Any:
    kinds = dict(nvila_downsample=downsample, nvila_scales=3, nvila_pool=[frames, 1, 1], nvila_newline_ids=[3])
    return finished(NvilaForConditionalGeneration(NvilaConfig(**options(patches), **kinds)))


def nvila(downsample: int, frames: int, batch: int, patches: int = 7) -> NewlineCase:
    side = -(-patches // downsample)
    T = 2 * FRAMES // frames
    rows = [row_of([[VIDEO] * (T * (side * side + 1))], b) for b in range(batch)]
    inputs = {**padded(rows), "pixel_values_videos": noise(batch, 2 * FRAMES, 3, 8 * patches, 8 * patches)}
    grids = [(T, side, side)] * batch
    return NewlineCase(nvila_model(downsample, frames, patches), inputs, grids, VIDEO, newlines="frame")
