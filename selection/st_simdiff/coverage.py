"""Coverage: candidates ranked so that any budget is shared among communities in proportion to their tokens."""

from __future__ import annotations

from typing import Any

from stgraph.community.partition import Partition
from stgraph.kernels import kernels_for


def coverage(centrality: Any, partition: Partition) -> Any:
    """[N] float64 on the device of ``centrality``: |c| / (2 k + 1) for the k-th most central token, from 0, of
    community c.

    Taking tokens by this score gives each community as many seats as Sainte-Lague's method gives a party with |c|
    votes: a share of the budget proportional to its tokens, most central tokens first. Ties go to the smaller index.
    """
    members, starts = partition.slots
    scores: Any = kernels_for(centrality, "top").seat_scores(centrality, members, starts)
    return scores
