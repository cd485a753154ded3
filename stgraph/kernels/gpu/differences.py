"""How much each token differs from the same position one frame earlier, and which differ enough (DETS).

Nothing here waits for the device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.rows import SIZES, blocks, launch

_BLOCK = 256


@triton.jit(do_not_specialize=SIZES)
def _later(temporal, out, tau, n_first, n, BLOCK: tl.constexpr, BELOW: tl.constexpr):  # type: ignore[no-untyped-def]
    """What each temporal edge says of its later token: 1 - similarity, or whether that is below tau."""
    node = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    later = (node >= n_first) & (node < n)
    weight = tl.load(temporal + node - n_first, mask=later, other=1.0)
    if BELOW:
        tl.store(out + node, later & (weight < tau), mask=node < n)
    else:
        tl.store(out + node, 1.0 - weight, mask=node < n)


def differences(temporal: Any) -> Any:
    """[N] float32: 1 - similarity to the frame before; 0 in the first frame.

    Parameters
    ----------
    temporal : [T-1, H, W] float32 tensor, similarity of each token to the same position one frame later
    """
    return _of_later(temporal, torch.float32, 0.0, False)


def below(temporal: Any, tau: float) -> Any:
    """[N] bool: the later tokens of the temporal edges with similarity < tau, compared in float32."""
    return _of_later(temporal, torch.bool, float(np.float32(tau)), True)


def percentile(temporal: Any, q: float) -> Any:
    """The q-th percentile of the differences 1 - similarity ([] float64), interpolated linearly; there must be one.

    The same operations in the same order as NumPy's, hence the same bits.
    """
    ordered = torch.sort(temporal.reshape(-1), descending=True).values  # ascending differences
    place = (ordered.numel() - 1) * (q / 100)
    low = math.floor(place)
    share = place - low
    a, b = 1.0 - ordered[low].double(), 1.0 - ordered[min(low + 1, ordered.numel() - 1)].double()
    step = b - a
    return a + step * share if share < 0.5 else b - step * (1 - share)


def beyond(temporal: Any, bound: Any) -> Any:
    """[N] bool: the later tokens of the temporal edges whose difference exceeds ``bound``, compared in float64."""
    return _after_first(1.0 - temporal.double() > bound)


def _of_later(temporal: Any, dtype: Any, tau: float, below: bool) -> Any:
    n_first = temporal.shape[1] * temporal.shape[2]
    n = temporal.numel() + n_first
    out = torch.empty(n, dtype=dtype, device=temporal.device)
    launch(_later, (blocks(n, _BLOCK),), temporal.contiguous(), out, tau, n_first, n, _BLOCK, below)
    return out


def _after_first(later: Any) -> Any:
    """[N] of [T-1, H, W], behind a first frame of zeros."""
    first = torch.zeros((1, *later.shape[1:]), dtype=later.dtype, device=later.device)
    return torch.cat([first, later]).reshape(-1)
