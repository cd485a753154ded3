"""Signals of the vision encoder, brought to the lattice of the LLM's tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.errors import GridError
from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]


def on_lattice(tokens: VideoTokens, values: Array, name: str) -> Array:
    """Encoder values, one a patch of the encoder, as one a token: pooled like the features where the grids differ.

    Parameters
    ----------
    values : [T, e] or [T, e, c], e patches of the encoder in raster order
    name : of the signal, for errors

    Returns
    -------
    [T, H*W] or [T, H*W, c] float32

    Raises
    ------
    GridError
        e is not H*W, and the metadata do not say how the encoder's grid was pooled: ``encoder_grid`` [height, width]
        and ``pooling`` "average", "max" or "bilinear"
    """
    grid, e = tokens.grid, values.shape[1]
    wide = values.astype(np.float32)
    if e == grid.H * grid.W:
        return wide
    height, width = tokens.metadata.get("encoder_grid") or (0, 0)
    pooling = tokens.metadata.get("pooling")
    if height * width != e or pooling not in _POOLINGS:
        raise GridError(
            f"signal {name!r} has {e} values a frame, but the grid has {grid.H} x {grid.W} tokens. Say how the "
            "encoder's grid was pooled: metadata 'encoder_grid' [height, width] and 'pooling' average, max or bilinear "
            f"(they are {tokens.metadata.get('encoder_grid')} and {pooling!r})"
        )
    maps = wide.reshape(grid.T, height, width, -1)
    pooled = _POOLINGS[pooling](maps, grid.H, grid.W, name)
    return pooled.reshape((grid.T, grid.H * grid.W, *values.shape[2:]))


def is_pooled(tokens: VideoTokens, values: Array) -> bool:
    """Whether :func:`on_lattice` has to pool."""
    return int(values.shape[1]) != tokens.grid.H * tokens.grid.W


def _windows(maps: Array, H: int, W: int, name: str) -> Array:
    """[T, H, W, c, s, s]: the patches under each token of a pooling with stride s."""
    stride = maps.shape[1] // H
    if stride < 1 or (maps.shape[1] // stride, maps.shape[2] // stride) != (H, W):
        raise GridError(
            f"signal {name!r} lies on a {maps.shape[1]} x {maps.shape[2]} grid, which no stride pools to {H} x {W}; "
            "correct the metadata 'encoder_grid'"
        )
    view = np.lib.stride_tricks.sliding_window_view(maps, (stride, stride), axis=(1, 2))
    return view[:, ::stride, ::stride][:, :H, :W]


def _average(maps: Array, H: int, W: int, name: str) -> Array:
    pooled: Array = _windows(maps, H, W, name).mean(axis=(-2, -1))
    return pooled


def _maximum(maps: Array, H: int, W: int, name: str) -> Array:
    pooled: Array = _windows(maps, H, W, name).max(axis=(-2, -1))
    return pooled


def _bilinear(maps: Array, H: int, W: int, name: str) -> Array:
    """Linear interpolation at pixel centres, edges repeated (``align_corners=False``)."""
    for axis, size in ((1, H), (2, W)):
        n = maps.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
        low = np.floor(at).astype(np.int64)
        high = np.minimum(low + 1, n - 1)
        shape = [1] * maps.ndim
        shape[axis] = size
        part = (at - low).astype(np.float32).reshape(shape)
        maps = maps.take(low, axis=axis) * (1 - part) + maps.take(high, axis=axis) * part
    return maps


_POOLINGS = {"average": _average, "max": _maximum, "bilinear": _bilinear}
