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
def _later(  # type: ignore[no-untyped-def]
    temporal, bound, out, event, tau, n_first, n, BLOCK: tl.constexpr, RULE: tl.constexpr
):  # fmt: skip
    """What each temporal edge says of its later token: 1 - similarity, and whether that similarity is below tau (RULE
    1), or the difference in float64 beyond a bound on the device (RULE 2); or nothing more (RULE 0)."""
    node = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    later = (node >= n_first) & (node < n)
    weight = tl.load(temporal + node - n_first, mask=later, other=1.0)
    tl.store(out + node, 1.0 - weight, mask=node < n)
    if RULE == 1:
        tl.store(event + node, later & (weight < tau), mask=node < n)
    if RULE == 2:
        tl.store(event + node, later & (1.0 - weight.to(tl.float64) > tl.load(bound)), mask=node < n)


@triton.jit(do_not_specialize=[*SIZES, "low", "high", "share"])
def _interpolate(ordered, low, high, share, out):  # type: ignore[no-untyped-def]
    """The difference between two of the similarities in descending order, and its similarity. ``share`` are the bits of
    a float64, which a kernel cannot be given as a number."""
    one = tl.arange(0, 1)
    part = (tl.zeros([1], tl.int64) + share).to(tl.float64, bitcast=True)
    a = 1.0 - tl.load(ordered + low + one).to(tl.float64)
    b = 1.0 - tl.load(ordered + high + one).to(tl.float64)
    step = b - a
    bound = tl.where(part < 0.5, a + step * part, b - step * (1.0 - part))
    tl.store(out + one, bound)
    tl.store(out + 1 + one, 1.0 - bound)


def differences(temporal: Any) -> Any:
    """[N] float32: 1 - similarity to the frame before; 0 in the first frame.

    Parameters
    ----------
    temporal : [T-1, H, W] float32 tensor, similarity of each token to the same position one frame later
    """
    return _of_later(temporal, 0)[0]


def below(temporal: Any, tau: float) -> tuple[Any, Any]:
    """:func:`differences`, and [N] bool: the later tokens of the temporal edges with similarity < tau, compared in
    float32."""
    return _of_later(temporal, 1, tau=float(np.float32(tau)))


def percentile(temporal: Any, q: float) -> tuple[Any, Any]:
    """The q-th percentile of the differences 1 - similarity, interpolated linearly, and 1 minus it ([] float64 each);
    there must be one.

    The same operations in the same order as NumPy's, each rounded by itself, hence the same bits.
    """
    ordered = torch.sort(temporal.reshape(-1), descending=True).values  # ascending differences
    last = ordered.numel() - 1
    place = last * (q / 100)
    low = math.floor(place)
    out = torch.empty(2, dtype=torch.float64, device=temporal.device)
    share = int(np.float64(place - low).view(np.int64))
    launch(_interpolate, (1,), ordered, low, min(low + 1, last), share, out, enable_fp_fusion=False)
    return out[0], out[1]


def beyond(temporal: Any, bound: Any) -> tuple[Any, Any]:
    """:func:`differences`, and [N] bool: the later tokens of the temporal edges whose difference exceeds ``bound``
    ([] float64 tensor), compared in float64."""
    return _of_later(temporal, 2, bound=bound)


def _of_later(temporal: Any, rule: int, tau: float = 0.0, bound: Any = None) -> tuple[Any, Any]:
    n_first = temporal.shape[1] * temporal.shape[2]
    n, given = temporal.numel() + n_first, temporal.contiguous()
    out = torch.empty(n, dtype=torch.float32, device=given.device)
    event = torch.empty(n, dtype=torch.bool, device=given.device) if rule else out
    limit = out if bound is None else bound
    launch(_later, (blocks(n, _BLOCK),), given, limit, out, event, tau, n_first, n, _BLOCK, rule)
    return out, event
