"""Distances of unit features to the mean of their frame and of the video, on given channels, in two passes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.frame_similarity import LARGEST, SMALLEST, wide_rows
from stgraph.kernels.cpu.rows import FASTMATH, row, row_source, widen
from stgraph.kernels.cpu.threads import even_blocks, run_blocks

_BLOCK = 256  # tokens of one frame; fixed, so that sums are the same on any number of threads


@compiled(fastmath=FASTMATH)
def _sum_units(x, chosen, t, p0, p1, W, square, total):  # type: ignore[no-untyped-def]
    """Squared norms of the tokens [p0, p1) of frame t, and the sum of their unit features (of use on the chosen
    channels); four tokens at a time. Where fewer are left, the last stands in for the missing and counts once.
    """
    for p in range(p0, p1, 4):
        q1, q2, q3 = min(p + 1, p1 - 1), min(p + 2, p1 - 1), min(p + 3, p1 - 1)
        x0, x1 = row(x, t, p // W, p % W), row(x, t, q1 // W, q1 % W)
        x2, x3 = row(x, t, q2 // W, q2 % W), row(x, t, q3 // W, q3 % W)
        s0 = s1 = s2 = s3 = np.float32(0)
        for k in range(chosen.size):
            c = chosen[k]
            v0, v1, v2, v3 = widen(x0[k]) * c, widen(x1[k]) * c, widen(x2[k]) * c, widen(x3[k]) * c
            s0 += v0 * v0
            s1 += v1 * v1
            s2 += v2 * v2
            s3 += v3 * v3
        square[t, p], square[t, q1], square[t, q2], square[t, q3] = s0, s1, s2, s3
        f0 = _scale(s0)
        f1, f2, f3 = _scale(s1) * (q1 > p), _scale(s2) * (q2 > q1), _scale(s3) * (q3 > q2)
        for k in range(chosen.size):
            total[k] += widen(x0[k]) * f0 + widen(x1[k]) * f1 + widen(x2[k]) * f2 + widen(x3[k]) * f3


@compiled()
def _scale(square):  # type: ignore[no-untyped-def]
    """1 / norm, or 0 where it is lost in float32."""
    return np.float32(1.0 / np.sqrt(np.float64(square))) if SMALLEST <= square <= LARGEST else np.float32(0)


@compiled(fastmath=FASTMATH)
def _distances(x, chosen, square, t, p0, p1, W, frame, video, to_frame, to_video):  # type: ignore[no-untyped-def]
    """Two tokens at a time, the last one alone standing in for its own partner."""
    for p in range(p0, p1, 2):
        q = min(p + 1, p1 - 1)
        a, b = row(x, t, p // W, p % W), row(x, t, q // W, q % W)
        f, g = _scale(square[t, p]), _scale(square[t, q])
        s0 = s1 = s2 = s3 = np.float32(0)
        for k in range(chosen.size):
            c = chosen[k]
            u, v = widen(a[k]) * c * f, widen(b[k]) * c * g
            s0 += (u - frame[k]) * (u - frame[k])
            s1 += (v - frame[k]) * (v - frame[k])
            s2 += (u - video[k]) * (u - video[k])
            s3 += (v - video[k]) * (v - video[k])
        to_frame[t, p], to_frame[t, q], to_video[t, p], to_video[t, q] = s0, s1, s2, s3


def centre_distances(x: Array, channels: Array) -> tuple[Array, Array]:
    """Squared distances of every unit feature to the mean of its frame's and of the video's unit features.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16, any strides; finite
    channels : [d] bool
        the channels used; features are scaled to unit length on these. Those of zero length stay zero

    Returns
    -------
    to_frame, to_video : [T, H, W] float32
    """
    T, H, W, d = x.shape
    source, chosen = row_source(x), channels.astype(np.float32)
    blocks = [(t, a, b) for t in range(T) for a, b in even_blocks(H * W, _BLOCK)]
    square = np.empty((T, H * W), np.float32)

    def partial(block: tuple[int, int, int]) -> Array:
        total = np.zeros(d, np.float32)
        _sum_units(source, chosen, *block, W, square, total)
        total[~channels] = 0
        return total

    sums = np.zeros((T, d))
    for start, stop in even_blocks(len(blocks), 64):  # a bounded number of partial sums alive, added in a fixed order
        for (t, _, _), total in zip(blocks[start:stop], run_blocks(partial, blocks[start:stop]), strict=True):
            sums[t] += total
    rest = np.flatnonzero(~((square >= SMALLEST) & (square <= LARGEST)))
    for nodes, units in _wide_units(x, rest, channels):
        np.add.at(sums, nodes // (H * W), units)
    frames = (sums / (H * W)).astype(np.float32)
    video = (sums.sum(axis=0) / (T * H * W)).astype(np.float32)
    to_frame, to_video = np.empty((T, H * W), np.float32), np.empty((T, H * W), np.float32)

    def task(block: tuple[int, int, int]) -> None:
        _distances(source, chosen, square, *block, W, frames[block[0]], video, to_frame, to_video)

    run_blocks(task, blocks)
    for nodes, units in _wide_units(x, rest, channels):
        to_frame.reshape(-1)[nodes] = ((units - frames[nodes // (H * W)]) ** 2).sum(axis=1)
        to_video.reshape(-1)[nodes] = ((units - video) ** 2).sum(axis=1)
    return to_frame.reshape(T, H, W), to_video.reshape(T, H, W)


def _wide_units(x: Array, nodes: Array, channels: Array) -> Iterator[tuple[Array, Array]]:
    """Unit features in float64, 0 outside the channels, for tokens whose squared norm leaves float32's range."""
    for part, rows in wide_rows(x, nodes):
        rows[:, ~channels] = 0
        norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        yield part, np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
