"""L1 norms of feature rows and their cosines to a few pivots, in float64, on the device."""

from __future__ import annotations

from typing import Any

import torch

from stgraph.kernels.gpu.chunks import chunks, units


def l1_norms(x: Any) -> Any:
    """[N] float64 tensor of sums of absolute values of the rows of ``x`` ([T, H, W, d] tensor of a feature dtype, any
    strides)."""
    return torch.cat([x[a:b].double().abs().sum(-1).reshape(-1) for a, b in chunks(x)])


def pivot_cosines(x: Any, pivots: Any, weights: Any = None) -> Any:
    """[N, m] float64 tensor of cosines of every row to every pivot; 0 for zero rows.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16 tensor, any strides
    pivots : [m, d] float64 tensor, unit rows
    weights : [d] float64 tensor, factors applied to the channels of ``x`` first
    """
    factors = 1.0 if weights is None else weights
    found = [units(x[a:b].double() * factors) @ pivots.T for a, b in chunks(x)]
    return torch.cat(found).reshape(-1, len(pivots))
