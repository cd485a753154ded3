"""Downsampling: smaller frames, from which the vision tower makes fewer tokens; the simplest baseline."""

from __future__ import annotations

from typing import Any

from stgraph.aliases import Array
from stgraph.errors import InputError, UnavailableError
from stgraph.grid import TokenGrid
from stgraph.selection.algorithms.pooled_grid import pooled_grid


def token_pixels(processor: Any, model_type: str) -> int:
    """Pixels per side of a token, for checkpoints that accept frames of any size.

    Raises
    ------
    UnavailableError
        the processor resizes all frames to one size, so that smaller ones give equally many tokens
    """
    video = getattr(processor, "video_processor", None)
    patch, merge = getattr(video, "patch_size", None), getattr(video, "merge_size", None)
    if not isinstance(patch, int) or not isinstance(merge, int):
        raise UnavailableError(
            f"'downsampled' needs a vision tower that takes frames of any size, as Qwen's do; that of {model_type} "
            "gets all frames in one size. Take the selector pool, which averages its tokens, or fewer frames (-n)"
        )
    return patch * merge


def smaller_grid(grid: TokenGrid, n_keep: int) -> tuple[int, int]:
    """(h, w) of the largest grid with the frames' aspect ratio that gives the video at most ``n_keep`` tokens.

    Raises
    ------
    InputError
        fewer tokens than frames

    Examples
    --------
    >>> smaller_grid(TokenGrid(32, 14, 20), 2688)
    (7, 10)
    """
    T, H, W = grid.shape
    if n_keep < T:
        raise InputError(
            f"{n_keep:,} tokens are fewer than the {T:,} frames the vision tower sees; raise retain_ratio, or take "
            "fewer frames"
        )
    return pooled_grid(H, W, n_keep // T)


def resized(rgb: Array, height: int, width: int) -> Array:
    """Frames [T, height, width, 3] uint8 of [T, h, w, 3] uint8, bicubic with antialiasing, as processors resize."""
    import torch
    from torch.nn.functional import interpolate

    frames = [
        interpolate(
            torch.from_numpy(frame).permute(2, 0, 1)[None].float(), (height, width), mode="bicubic", antialias=True
        )
        for frame in rgb
    ]
    made: Array = torch.cat(frames).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return made
