"""Reduction of the candidates to the budget (ST-SimDiff, section 4.5)."""

from __future__ import annotations

from typing import Any

from stgraph.kernels import kernels_for


def reduce_candidates(
    candidates: Any, events: Any, importance: Any, n_target: int, protect_events: bool = False
) -> Any:
    """The ``n_target`` candidates with the highest importance; ties keep the smaller index.

    Parameters
    ----------
    candidates : [N] bool, representatives and events
    events : [N] bool
    importance : [N] float32 or float64
    n_target : tokens to keep; if there are fewer candidates, all are kept
    protect_events : drop event tokens only when no other candidate is left

    Returns
    -------
    [N] bool
    """
    first = events if protect_events else None
    kept: Any = kernels_for(importance, "top").top_of_mask(importance, candidates, n_target, first)
    return kept
