"""DETS: difference-based event tokens (ST-SimDiff, section 4.4)."""

from __future__ import annotations

from typing import Any

from stgraph.devices import full
from stgraph.errors import InputError
from stgraph.graph import TokenGraph, check_threshold
from stgraph.kernels import kernels_for


def temporal_difference(graph: TokenGraph) -> Any:
    """[N] float32: 1 - similarity to the same position one frame earlier; 0 in the first frame."""
    temporal = graph.temporal_similarity
    return kernels_for(temporal, "differences").differences(temporal)


def event_threshold(graph: TokenGraph, tau_diff: float | str) -> float | None:
    """Similarity below which a temporal edge marks an event; None if there are no temporal edges.

    Parameters
    ----------
    tau_diff : a similarity in [-1, 1], or "pQ" for the Q-th percentile of all temporal differences 1 - w

    Raises
    ------
    InputError
        neither
    """
    threshold = find_events(graph, tau_diff)[1]
    return None if threshold is None else float(threshold)


def event_tokens(graph: TokenGraph, tau_diff: float | str = 0.2) -> Any:
    """T_event: tokens whose similarity to the frame before is strictly below the threshold (equation 6).

    Parameters
    ----------
    graph : token graph; its temporal similarities are used even if the community graph has no temporal edges
    tau_diff : a fixed similarity (0.2), or "p95": the tokens whose difference exceeds the 95th percentile

    Returns
    -------
    [N] bool, the later token of each such edge; all False for a video of one frame
    """
    return find_events(graph, tau_diff)[0]


def find_events(graph: TokenGraph, tau_diff: float | str) -> tuple[Any, Any]:
    """:func:`event_tokens` and :func:`event_threshold`; on a GPU, a percentile threshold is a scalar on the device."""
    return changes(graph, tau_diff)[1:]


def changes(graph: TokenGraph, tau_diff: float | str) -> tuple[Any, Any, Any]:
    """:func:`temporal_difference` and what :func:`find_events` finds, at once."""
    percentile = parse_tau_diff(tau_diff)
    temporal = graph.temporal_similarity
    if graph.grid.T == 1:
        return temporal_difference(graph), full(graph.n_nodes, False, "bool", like=temporal), None
    kernel = kernels_for(temporal, "differences")
    if percentile is None:
        return *kernel.below(temporal, float(tau_diff)), float(tau_diff)
    bound, threshold = kernel.percentile(temporal, percentile)
    return *kernel.beyond(temporal, bound), threshold


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
