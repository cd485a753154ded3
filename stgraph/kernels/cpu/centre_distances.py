"""Distances of unit features to the mean of their frame and of the video, on some channels, in two passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

from stgraph.kernels.cpu.frame_similarity import LARGEST, SMALLEST, wide_rows
from stgraph.kernels.cpu.rows import FASTMATH, row, row_source, widen
from stgraph.kernels.cpu.threads import even_blocks, run_blocks

Array = np.ndarray[Any, Any]

_BLOCK = 256  # tokens of one frame; fixed, so that sums are the same on any number of threads


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def _sum_units(x, chosen, t, p0, p1, W, square, total):  # type: ignore[no-untyped-def]
    """Squared norms of the tokens [p0, p1) of frame t, and the sum of their unit features."""
    for p in range(p0, p1):
        a = row(x, t, p // W, p % W)
        s = np.float32(0)
        for k in range(chosen.size):
            value = widen(a[k]) * chosen[k]
            s += value * value
        square[t, p // W, p % W] = s
        if SMALLEST <= s <= LARGEST:
            scale = np.float32(1.0 / np.sqrt(np.float64(s)))
            for k in range(chosen.size):
                total[k] += widen(a[k]) * chosen[k] * scale


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH)
def _distances(x, chosen, scales, t, p0, p1, W, frame, video, to_frame, to_video):  # type: ignore[no-untyped-def]
    for p in range(p0, p1):
        a, scale = row(x, t, p // W, p % W), scales[t, p // W, p % W]
        s0 = s1 = np.float32(0)
        for k in range(chosen.size):
            unit = widen(a[k]) * chosen[k] * scale
            s0 += (unit - frame[k]) * (unit - frame[k])
            s1 += (unit - video[k]) * (unit - video[k])
        to_frame[t, p // W, p % W], to_video[t, p // W, p % W] = s0, s1


def centre_distances(x: Array, channels: Array) -> tuple[Array, Array]:
    """Squared distances of every unit feature to the mean of its frame's and of the video's unit features.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16, any strides; finite
    channels : [d] bool
        the channels that count; features are scaled to unit length on these. Those of zero length stay zero

    Returns
    -------
    to_frame, to_video : [T, H, W] float32
    """
    T, H, W, d = x.shape
    source, chosen = row_source(x), channels.astype(np.float32)
    blocks = [(t, a, b) for t in range(T) for a, b in even_blocks(H * W, _BLOCK)]
    square = np.empty((T, H, W), np.float32)

    def partial(block: tuple[int, int, int]) -> Array:
        total = np.zeros(d, np.float32)
        _sum_units(source, chosen, *block, W, square, total)
        return total

    sums = np.zeros((T, d))
    for start, stop in even_blocks(len(blocks), 64):  # a bounded number of partial sums alive, added in a fixed order
        for (t, _, _), total in zip(blocks[start:stop], run_blocks(partial, blocks[start:stop]), strict=True):
            sums[t] += total
    safe = (square >= SMALLEST) & (square <= LARGEST)
    rest = np.flatnonzero(~safe)
    for nodes, units in _wide_units(x, rest, channels):
        np.add.at(sums, nodes // (H * W), units)
    scales = np.divide(1.0, np.sqrt(square.astype(np.float64)), out=np.zeros(square.shape), where=safe)
    scales32, frames = scales.astype(np.float32), (sums / (H * W)).astype(np.float32)
    video = (sums.sum(axis=0) / (T * H * W)).astype(np.float32)
    to_frame, to_video = np.empty((T, H, W), np.float32), np.empty((T, H, W), np.float32)

    def task(block: tuple[int, int, int]) -> None:
        _distances(source, chosen, scales32, *block, W, frames[block[0]], video, to_frame, to_video)

    run_blocks(task, blocks)
    for nodes, units in _wide_units(x, rest, channels):
        to_frame.reshape(-1)[nodes] = ((units - frames[nodes // (H * W)]) ** 2).sum(axis=1)
        to_video.reshape(-1)[nodes] = ((units - video) ** 2).sum(axis=1)
    return to_frame, to_video


def _wide_units(x: Array, nodes: Array, channels: Array) -> Iterator[tuple[Array, Array]]:
    """Unit features in float64, 0 outside the channels, for tokens whose squared norm leaves float32's range."""
    for part, rows in wide_rows(x, nodes):
        rows[:, ~channels] = 0
        norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        yield part, np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
