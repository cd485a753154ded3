"""Means of 2x2 tokens, their similarity to their parts, and cosines of chosen pairs of rows, on the device."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch

from stgraph.aliases import Array
from stgraph.kernels.cpu.spanning_tree import SAME
from stgraph.kernels.gpu.chunks import ELEMENTS, chunks


def pool_level(x: Any, norms: Any, means: Any) -> tuple[Any, Any]:
    """Average 2x2 tokens of each frame; sides of odd length keep their first row or column alone.

    Parameters
    ----------
    x : [T, h, w, d] float32, float16 or bfloat16 tensor, any strides
    norms : [T, h, w] float64 tensor
    means : [T * ceil(h/2) * ceil(w/2), d] float32 tensor, overwritten; sums are in float64

    Returns
    -------
    norms : of the means, [T, ceil(h/2), ceil(w/2)] float64 tensor
    least : [T, ceil(h/2), ceil(w/2)] float32 tensor, the smallest cosine of a mean with one of its parts; 0 with a zero
        row, and exactly 1 if it differs only by rounding
    """
    T, h, w, d = x.shape
    rows, columns = (_parts(length, x.device) for length in (h, w))
    shape = (T, (h + 1) // 2, (w + 1) // 2)
    mean_norms = torch.empty(shape, dtype=torch.float64, device=x.device)
    least = torch.empty(shape, dtype=torch.float32, device=x.device)
    for a, b in chunks(x):
        # A part without a partner is counted twice, which does not change the mean.
        parts = [x[a:b].index_select(1, y).index_select(2, z).double() for y, z in product(rows, columns)]
        mean = (0.25 * sum(parts)).float()
        means.reshape(*shape, d)[a:b] = mean
        wide = mean.double()
        length = (wide * wide).sum(-1).sqrt()
        mean_norms[a:b] = length
        theirs = [norms[a:b].index_select(1, y).index_select(2, z) for y, z in product(rows, columns)]
        dots = torch.stack([(wide * part).sum(-1) for part in parts])
        least[a:b] = _cosine(dots, length * torch.stack(theirs)).amin(0)
    return mean_norms, least


def pair_cosines(x: Any, norms_x: Any, y: Any, norms_y: Any, a: Array, b: Array) -> Any:
    """Cosines of node a[i] of ``x`` with row b[i] of ``y``, summed in float64.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16 tensor, any strides
    y : [m, d] float32 tensor
    norms_x, norms_y : [T*H*W] and [m] float64 tensors
    a, b : [n] int64 in host memory

    Returns
    -------
    [n] float32 tensor; 0 with a zero row, and exactly 1 if it differs only by rounding
    """
    _, H, W, d = x.shape
    out = torch.empty(a.size, device=x.device)
    most = max(1, ELEMENTS // d)
    for start in range(0, a.size, most):
        mine = slice(start, start + most)
        t, rest = np.divmod(a[mine], H * W)
        node, row, *at = (torch.from_numpy(i).to(x.device) for i in (a[mine], b[mine], t, *np.divmod(rest, W)))
        dot = (x[tuple(at)].double() * y[row].double()).sum(-1)
        out[mine] = _cosine(dot, norms_x[node] * norms_y[row])
    return out


def _parts(length: int, device: Any) -> tuple[Any, Any]:
    """First and second row averaged by each box along one side; the same row twice if it has no partner."""
    first = torch.arange(-(length % 2), length, 2, device=device)
    return first.clamp(min=0), first + 1


def _cosine(dot: Any, scale: Any) -> Any:
    cosine = torch.where(scale > 0, dot / torch.where(scale > 0, scale, 1.0), 0.0).clamp(min=-1).float()
    return torch.where(cosine > float(SAME), 1.0, cosine)
