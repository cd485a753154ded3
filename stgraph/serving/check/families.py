"""The model families of the check, with their prompt layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stgraph.serving.check.prompts import Medium


@dataclass(frozen=True)
class Family:
    """A family, with the tiny checkpoint of :mod:`stgraph.serving.check.checkpoint`.

    Attributes
    ----------
    architecture : the architecture that selects the plugin
    step, cell : frames, and pixels per side, per token; 0 pixels if all frames have ``side`` x ``side`` tokens
    n_image : tokens of the image among the prompts, which is never pruned
    n_extra : tokens after a video's grid that are always kept
    marked : whether images and videos stand between marks
    metadata : whether videos come with their frame rate
    mixes_lengths : whether the stock engine accepts videos of different length in one prompt
    most_frames : maximum frames of a video with short prefill steps; LLaVA-OneVision's cache then has room for 16
        unpruned frames
    """

    architecture: str
    step: int
    cell: int
    n_image: int
    side: int = 0
    n_extra: int = 0
    marked: bool = True
    metadata: bool = False
    mixes_lengths: bool = True
    most_frames: int = 1000

    def grid(self, video: Medium) -> tuple[int, int, int]:
        """Steps, rows and columns of a video's tokens."""
        if not self.cell:
            return -(-video.T // self.step), self.side, self.side
        return -(-video.T // self.step), video.H // self.cell, video.W // self.cell


FAMILIES: Mapping[str, Family] = {
    "qwen2_5_vl": Family("StgraphQwen2_5_VLForConditionalGeneration", 2, 28, 12, metadata=True),
    "qwen2_vl": Family("StgraphQwen2VLForConditionalGeneration", 2, 28, 12),
    # Frames of 8 x 8 patches, pooled; the image of 112 x 84 pixels is seen whole (64) and unpadded, with newlines (56).
    "llava_onevision": Family(
        "StgraphLlavaOnevisionForConditionalGeneration",
        1,
        0,
        120,
        side=4,
        n_extra=1,
        marked=False,
        mixes_lengths=False,
        most_frames=20,
    ),
}
