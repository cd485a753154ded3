"""Cosine similarity of every token with the same position in another frame, in one pass over the features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import bad_token
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.rows import FASTMATH, row, row_source, widen
from stgraph.kernels.cpu.threads import even_blocks, num_threads, run_blocks
from stgraph.kernels.reference_frames import check_reference

# Squared norms outside this range have lost precision (or all of it) in float32 and are redone in float64.
SMALLEST, LARGEST = np.float32(1e-30), np.float32(1e30)


@compiled(fastmath=FASTMATH)
def _products(x, reference, square, dot, t0, t1, p0, p1, W):  # type: ignore[no-untyped-def]
    """Dot products of each token with itself and with its position in the reference frame.

    Frames are the inner loop: a nearby reference frame's row is then still in the cache.
    """
    for p in range(p0, p1):
        h, w = p // W, p % W
        for t in range(t0, t1):
            a, b = row(x, t, h, w), row(x, max(reference[t], 0), h, w)
            s0 = s1 = np.float32(0)
            for k in range(a.size):
                value = widen(a[k])
                s0 += value * value
                s1 += value * widen(b[k])
            square[t, h, w], dot[t, h, w] = s0, s1


def frame_cosines(x: Array, reference: Array) -> tuple[Array, Array]:
    """Cosine of each token to the same position of its frame's reference frame, accumulated in float32, and the norms.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16, any strides
    reference : [T] int64
        the frame each frame is compared with, -1 for none; ``np.arange(T) - 1`` is the frame before

    Returns
    -------
    cosine : [T, H, W] float32, in [-1, 1]; 0 without a reference and where either token has zero norm
    norms : [T, H, W] float64

    Raises
    ------
    FeatureError
        a token holds NaN or Inf (the first one is named)
    InputError
        a reference is not a frame
    """
    T, H, W, _ = x.shape
    check_reference(reference, T)
    source, frames = row_source(x), reference.astype(np.int64, copy=False)
    square, dot = np.empty((T, H, W), np.float32), np.empty((T, H, W), np.float32)

    def task(block: tuple[int, int, int, int]) -> None:
        _products(source, frames, square, dot, *block, W)

    run_blocks(task, _blocks(T, H * W))
    norms = checked_norms(x, square)
    safe = (square >= SMALLEST) & (square <= LARGEST)
    wide, scale = dot.astype(np.float64), norms * norms[frames]
    for t, h, w in np.argwhere(~(safe & safe[frames]) & (scale > 0)):
        wide[t, h, w] = x[t, h, w].astype(np.float64) @ x[frames[t], h, w].astype(np.float64)
    scale[frames < 0] = 0
    cosine = np.divide(wide, scale, out=np.zeros_like(wide), where=scale > 0)
    return np.clip(cosine, -1, 1).astype(np.float32), norms


def checked_norms(x: Array, square: Array) -> Array:
    """[T, H, W] float64 norms from squared norms in float32, or from the features where these leave float32's range.

    Raises
    ------
    FeatureError
        a token holds NaN or Inf (the first one is named)
    """
    norms = np.sqrt(square.astype(np.float64))
    for nodes, rows in wide_rows(x, np.flatnonzero(~((square >= SMALLEST) & (square <= LARGEST)))):
        exact = (rows * rows).sum(axis=1)
        if not np.isfinite(exact).all():
            raise bad_token(int(nodes[np.argmin(np.isfinite(exact))]), *square.shape[1:])
        norms.reshape(-1)[nodes] = np.sqrt(exact)
    return norms


def wide_rows(x: Array, nodes: Array) -> Iterator[tuple[Array, Array]]:
    """The features of some nodes in float64, a few hundred rows at a time: (nodes [n], rows [n, d])."""
    for start, stop in even_blocks(nodes.size, 256):
        part = nodes[start:stop]
        yield part, x[np.unravel_index(part, x.shape[:3])].astype(np.float64)


def _blocks(T: int, P: int) -> list[tuple[int, int, int, int]]:
    """(t0, t1, p0, p1) work blocks: by positions, or by frames if there are few positions. Every token is computed
    separately, so block boundaries do not affect results."""
    parts = 4 * num_threads()
    if P >= num_threads():
        return [(0, T, a, b) for a, b in even_blocks(P, -(-P // parts))]
    return [(a, b, 0, P) for a, b in even_blocks(T, -(-T // parts))]
