"""Weighted sums of feature rows on the device, in a fixed order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch

from stgraph.aliases import Array
from stgraph.kernels.gpu.chunks import ELEMENTS


def weighted_sums(x: Any, indptr: Array, columns: Array, weights: Array) -> Any:
    """out[k] = sum over j in [indptr[k], indptr[k+1]) of weights[j] * x[columns[j]], summed in float64.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16 tensor, any strides; column numbers are node ids
    indptr, columns, weights : a sparse matrix in compressed rows, [K+1] and [nnz] integers, [nnz] numbers, in host
        memory

    Returns
    -------
    [K, d] float32 tensor
    """
    _, H, W, d = x.shape
    n_rows, most = indptr.size - 1, max(1, ELEMENTS // d)
    cuts = np.unique([0, *np.searchsorted(indptr, np.arange(most, columns.size, most)), n_rows])
    parts = []
    for a, b in pairwise(cuts.tolist()):
        there = slice(int(indptr[a]), int(indptr[b]))
        t, rest = np.divmod(columns[there], H * W)
        at = (torch.from_numpy(axis.astype(np.int64)).to(x.device) for axis in (t, *np.divmod(rest, W)))
        sums = row_sums(x[tuple(at)], indptr[a : b + 1] - indptr[a], weights[there], torch.float64)
        parts.append(sums.float())
    return torch.cat(parts) if parts else torch.zeros((0, d), device=x.device)


def row_sums(rows: Any, indptr: Array, weights: Array, dtype: Any) -> Any:
    """[K, d] tensor of sums of rows indptr[k] to indptr[k + 1] of ``rows`` ([nnz, d] tensor) times their weights, in
    the floating ``dtype`` and in row order, which index_add_ on a GPU does not keep."""
    if indptr.size == 1:  # segment_reduce refuses empty input
        return rows.new_zeros((0, rows.shape[1]), dtype=dtype)
    factors = torch.from_numpy(np.ascontiguousarray(weights)).to(rows.device).to(dtype)
    members = torch.from_numpy(np.diff(indptr).astype(np.int64)).to(rows.device)
    return torch.segment_reduce(rows.to(dtype) * factors[:, None], "sum", lengths=members, axis=0)
