"""Cutting the candidates down to the budget (ST-SimDiff, section 4.5)."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def reduce_candidates(
    representatives: Array, events: Array, importance: Array, n_target: int, protect_events: bool = False
) -> Array:
    """The ``n_target`` candidates of highest importance; among equals the smaller index stays.

    Parameters
    ----------
    representatives, events : [N] bool; their union are the candidates
    importance : [N] float64
    n_target : tokens to keep; fewer candidates are all kept
    protect_events : drop event tokens only once no other candidate is left

    Returns
    -------
    [N] bool
    """
    from stgraph.kernels.cpu.top import top_of

    candidates = np.flatnonzero(representatives | events).astype(np.int32)
    if not protect_events:
        return top_of(importance, candidates, n_target)
    first = np.flatnonzero(events).astype(np.int32)
    if first.size >= n_target:
        return top_of(importance, first, n_target)
    others = np.flatnonzero(representatives & ~events).astype(np.int32)
    kept: Array = events | top_of(importance, others, n_target - first.size)
    return kept
