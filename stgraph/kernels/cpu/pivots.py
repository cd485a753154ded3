"""L1 norms of feature rows and their cosines to a few pivots, in float64, each in one pass over the features."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.rows import FASTMATH, row, row_source, widen
from stgraph.kernels.cpu.threads import even_blocks, run_blocks

_BLOCK = 128  # rows


@compiled(fastmath=FASTMATH)
def _l1(x, H, W, first, last, out):  # type: ignore[no-untyped-def]
    for i in range(first, last):
        a = row(x, i // (H * W), i // W % H, i % W)
        total = 0.0
        for k in range(a.size):
            total += abs(np.float64(widen(a[k])))
        out[i] = total


@compiled(fastmath=FASTMATH)
def _products(x, H, W, weights, pivots, first, last, out):  # type: ignore[no-untyped-def]
    """Products of each weighted row with four pivots at a time, divided by its norm; 0 for zero rows. Equal rows are
    summed by the same instructions and so give equal bits."""
    for i in range(first, last):
        a = row(x, i // (H * W), i // W % H, i % W)
        for p in range(0, pivots.shape[0], 4):
            b, c, d, e = pivots[p], pivots[p + 1], pivots[p + 2], pivots[p + 3]
            square = s0 = s1 = s2 = s3 = 0.0
            for k in range(a.size):
                value = np.float64(widen(a[k])) * weights[k]
                square += value * value
                s0 += value * b[k]
                s1 += value * c[k]
                s2 += value * d[k]
                s3 += value * e[k]
            inverse = 0.0 if square == 0.0 else 1.0 / np.sqrt(square)
            out[i, p], out[i, p + 1], out[i, p + 2], out[i, p + 3] = (
                s0 * inverse,
                s1 * inverse,
                s2 * inverse,
                s3 * inverse,
            )


def l1_norms(x: Array) -> Array:
    """[N] float64 sums of absolute values of the rows of ``x`` ([T, H, W, d] float32, float16 or bfloat16, any
    strides)."""
    T, H, W, _ = x.shape
    out = np.empty(T * H * W)
    if out.size:
        source = row_source(x)
        run_blocks(lambda block: _l1(source, H, W, *block, out), even_blocks(out.size, _BLOCK))
    return out


def pivot_cosines(x: Array, pivots: Array, weights: Array | None = None) -> Array:
    """[N, m] float64: cosine of every row to every pivot; 0 for zero rows, NaN for rows with NaN or Inf.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16, any strides
    pivots : [m, d] float64, unit rows
    weights : [d] float64, factors applied to the channels of ``x`` first
    """
    T, H, W, d = x.shape
    m = len(pivots)
    source = row_source(x)
    padded = np.zeros((-(-m // 4) * 4, d))
    padded[:m] = pivots
    factors = np.ones(d) if weights is None else np.ascontiguousarray(weights)
    out = np.empty((T * H * W, len(padded)))
    blocks = even_blocks(len(out), _BLOCK)
    run_blocks(lambda block: _products(source, H, W, factors, padded, *block, out), blocks)
    return out[:, :m]
