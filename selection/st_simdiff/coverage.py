"""Coverage: candidates ranked so that any budget is shared among communities in proportion to their tokens."""

from __future__ import annotations

from typing import Any

from stgraph.community.partition import Partition
from stgraph.devices import astype, full, stable_order


def coverage(centrality: Any, partition: Partition) -> Any:
    """[N] float64 on the device of ``centrality``: |c| / (2 k + 1) for the k-th most central token, from 0, of
    community c.

    Taking tokens by this score gives each community as many seats as Sainte-Lague's method gives a party with |c|
    votes: a share of the budget proportional to its tokens, most central tokens first. Ties go to the smaller index.
    """
    by_centrality = stable_order(-centrality)
    order = by_centrality[stable_order(partition.labels[by_centrality])]
    labels = partition.labels[order]
    starts = partition.slots[1]
    sizes = starts[1:] - starts[:-1]
    rank = full(len(order), 1, "int64", like=centrality).cumsum(0) - 1 - starts[labels]
    scores = full(len(order), 0.0, "float64", like=centrality)
    scores[order] = astype(sizes[labels], "float64") / (2 * rank + 1)
    return scores
