"""DETS: difference-based event tokens (ST-SimDiff, section 4.4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.errors import InputError
from stgraph.graph import TokenGraph, check_threshold

Array = np.ndarray[Any, Any]


def temporal_difference(graph: TokenGraph) -> Array:
    """[N] float32: 1 - similarity to the same position one frame earlier; 0 in the first frame."""
    difference = np.zeros(graph.grid.shape, np.float32)
    np.subtract(1, graph.temporal_similarity, out=difference[1:])
    return difference.reshape(-1)


def event_threshold(graph: TokenGraph, tau_diff: float | str) -> float | None:
    """The similarity below which a temporal edge marks an event; None where there is no temporal edge.

    Parameters
    ----------
    tau_diff : a similarity in [-1, 1], or "pQ" for the Q-th percentile of all temporal differences 1 - w

    Raises
    ------
    InputError
        neither
    """
    percentile = parse_tau_diff(tau_diff)
    if graph.grid.T == 1:
        return None
    return float(tau_diff) if percentile is None else 1.0 - float(np.percentile(_differences(graph), percentile))


def event_tokens(graph: TokenGraph, tau_diff: float | str = 0.2) -> Array:
    """T_event: tokens whose similarity to the frame before falls below the threshold (equation 6), strictly.

    Parameters
    ----------
    graph : token graph; its temporal similarities count even where temporal edges are kept out of the communities
    tau_diff : a fixed similarity (0.2), or "p95": the tokens whose difference exceeds the 95th percentile

    Returns
    -------
    [N] bool, the later token of each such edge; none in a video of one frame
    """
    percentile = parse_tau_diff(tau_diff)
    events = np.zeros(graph.grid.shape, np.bool_)
    if percentile is None:
        events[1:] = graph.temporal_similarity < float(tau_diff)
    elif graph.grid.T > 1:
        difference = _differences(graph)  # compared as differences: 1 - (1 - w) need not give back w
        events[1:] = difference > np.percentile(difference, percentile)
    return events.reshape(-1)


def _differences(graph: TokenGraph) -> Array:
    """[T-1, H, W] float64: 1 - w of every temporal edge."""
    return 1.0 - graph.temporal_similarity.astype(np.float64)


def parse_tau_diff(tau_diff: float | str) -> float | None:
    """The percentile of "pQ", or None for a plain threshold.

    Raises
    ------
    InputError
        neither a number in [-1, 1] nor "p0" to "p100"
    """
    if not isinstance(tau_diff, str):
        check_threshold("tau_diff", tau_diff)
        return None
    try:
        percentile = float(tau_diff[1:]) if tau_diff[:1] == "p" else -1.0
    except ValueError:
        percentile = -1.0
    if not 0 <= percentile <= 100:
        raise InputError(f"tau_diff is {tau_diff!r}; it must be a number in [-1, 1] or a percentile like 'p95'")
    return percentile
