"""Difference of each token from the same position one frame earlier, and the tokens that differ enough (DETS)."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.aliases import Array


def differences(temporal: Array) -> Array:
    """[N] float32: 1 - similarity to the frame before; 0 in the first frame.

    Parameters
    ----------
    temporal : [T-1, H, W] float32, similarity of each token to the same position one frame later
    """
    frames, H, W = temporal.shape
    out = np.zeros((frames + 1, H, W), np.float32)
    np.subtract(1, temporal, out=out[1:])
    return out.reshape(-1)


def below(temporal: Array, tau: float) -> tuple[Array, Array]:
    """:func:`differences`, and [N] bool: the later tokens of the temporal edges with similarity < tau, compared in
    float32."""
    frames, H, W = temporal.shape
    out = np.zeros((frames + 1, H, W), np.bool_)
    out[1:] = temporal < tau
    return differences(temporal), out.reshape(-1)


def percentile(temporal: Array, q: float) -> tuple[Any, Any]:
    """The q-th percentile of the differences 1 - similarity in float64, interpolated linearly, and 1 minus it; at
    least one is required."""
    bound = np.percentile(_wide(temporal), q)
    return bound, 1.0 - bound


def beyond(temporal: Array, bound: Any) -> tuple[Array, Array]:
    """:func:`differences`, and [N] bool: the later tokens of the temporal edges whose difference exceeds ``bound``.
    Compared as differences in float64: 1 - (1 - w) need not equal w."""
    frames, H, W = temporal.shape
    out = np.zeros((frames + 1, H, W), np.bool_)
    out[1:] = _wide(temporal) > bound
    return differences(temporal), out.reshape(-1)


def _wide(temporal: Array) -> Array:
    """[T-1, H, W] float64: 1 - w of every temporal edge."""
    return 1.0 - temporal.astype(np.float64)
