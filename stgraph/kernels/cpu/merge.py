"""Weighted sums of feature rows: a sparse matrix times the features, without converting them first."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.components import group_blocks
from stgraph.kernels.cpu.rows import FASTMATH, row, row_source, widen
from stgraph.kernels.cpu.threads import run_blocks


@compiled()
def _token(x, node, H, W):  # type: ignore[no-untyped-def]
    t, rest = node // (H * W), node % (H * W)
    return row(x, t, rest // W, rest % W)


@compiled(fastmath=FASTMATH)
def _weighted_sums(x, H, W, indptr, columns, weights, k0, k1, out):  # type: ignore[no-untyped-def]
    """Four rows at a time save traffic to the sum."""
    for k in range(k0, k1):
        total = out[k]
        j, stop = indptr[k], indptr[k + 1]
        while j + 4 <= stop:
            x0, x1 = _token(x, columns[j], H, W), _token(x, columns[j + 1], H, W)
            x2, x3 = _token(x, columns[j + 2], H, W), _token(x, columns[j + 3], H, W)
            w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
            for i in range(total.size):
                total[i] += w0 * widen(x0[i]) + w1 * widen(x1[i]) + w2 * widen(x2[i]) + w3 * widen(x3[i])
            j += 4
        while j < stop:
            x0, w0 = _token(x, columns[j], H, W), weights[j]
            for i in range(total.size):
                total[i] += w0 * widen(x0[i])
            j += 1


def weighted_sums(x: Array, indptr: Array, columns: Array, weights: Array) -> Array:
    """out[k] = sum over j in [indptr[k], indptr[k+1]) of weights[j] * x[columns[j]], summed in float32.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16, any strides; column numbers are node ids
    indptr, columns, weights : a sparse matrix in compressed rows, [K+1] and [nnz] integers, [nnz] numbers

    Returns
    -------
    [K, d] float32
    """
    _, H, W, d = x.shape
    out = np.zeros((indptr.size - 1, d), np.float32)
    source = row_source(x)
    pointers, nodes = indptr.astype(np.int64, copy=False), columns.astype(np.int64, copy=False)
    factors = weights.astype(np.float32, copy=False)
    blocks = group_blocks(pointers)  # a row is summed by one thread: blocks change no rounding
    run_blocks(lambda block: _weighted_sums(source, H, W, pointers, nodes, factors, *block, out), blocks)
    return out
