"""Variance of every feature channel over all tokens, on the device."""

from __future__ import annotations

from typing import Any

import torch

from stgraph.errors import bad_token
from stgraph.kernels.gpu.chunks import chunks


def channel_variances(x: Any) -> Any:
    """[d] float64 tensor: the variance of each channel over all tokens (divided by N), from sums in float64 of
    differences from one token, so that constant channels have exactly 0.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16 tensor, any strides

    Raises
    ------
    FeatureError
        a token holds NaN or Inf (the first one is named)
    """
    n, d = x[..., 0].numel(), x.shape[3]
    origin = x[0, 0, 0].double()
    mean, spread = (torch.zeros(d, dtype=torch.float64, device=x.device) for _ in range(2))
    for a, b in chunks(x):
        mean += (x[a:b].double() - origin).sum((0, 1, 2))
    mean /= n
    for a, b in chunks(x):
        apart = x[a:b].double() - origin - mean
        spread += (apart * apart).sum((0, 1, 2))
    variances = spread / n
    if not bool(variances.isfinite().all()):
        good = x.isfinite().all(-1).reshape(-1)
        raise bad_token(int((~good).nonzero()[0]), x.shape[1], x.shape[2])
    return variances
