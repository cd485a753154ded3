"""Patch order of vision towers with packed patches, and its inversion to raster order per frame."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any


def frames_of(x: Any, thw: Sequence[Sequence[int]], merges: Sequence[int], units: Any = None) -> list[Any]:
    """One tensor [h * w, ...] per frame, in raster order.

    Parameters
    ----------
    x : [n, ...] all patches of all videos, with patches to be merged adjacent
    thw : (frames, height, width) of each video, in patches
    merges : patches merged along each side, per video
    units : [n / merge^2] place of each group of merged patches, in a tower that sorts them by window
    """
    if units is not None:
        side = merges[0] ** 2
        x = x.view(-1, side, *x.shape[1:])[units].flatten(0, 1)
    frames: list[Any] = []
    for part, (t, h, w), m in zip(x.split([t * h * w for t, h, w in thw]), thw, merges, strict=True):
        lattice = part.view(t, h // m, w // m, m, m, *part.shape[1:]).transpose(2, 3)
        frames += lattice.reshape(t, h * w, *part.shape[1:]).unbind(0)
    return frames


def units_of(tower: Any, thw: Any, given: Mapping[str, Any]) -> Any:
    """[n] place of each group of merged patches in a tower with windowed blocks (Qwen2.5-VL); None for other towers."""
    import torch

    if not is_windowed(tower):
        return None
    index = given.get("window_index")
    if index is None and hasattr(tower, "get_window_index"):  # transformers 4
        index = tower.get_window_index(thw)[0]
    if index is None:
        modules = (sys.modules[kind.__module__] for kind in type(tower).__mro__)
        function = next(f for m in modules if (f := getattr(m, "get_vision_window_index", None)) is not None)
        index = function(thw, tower.spatial_merge_size, tower.window_size, tower.patch_size)[0]
    return torch.argsort(index)


def is_windowed(tower: Any) -> bool:
    """Whether blocks of this tower see windows of a frame, by which all patches are sorted."""
    return getattr(tower, "fullatt_block_indexes", None) is not None


def sees_windows(tower: Any, block: int) -> bool:
    """Whether this block sees windows."""
    return is_windowed(tower) and block not in tower.fullatt_block_indexes
