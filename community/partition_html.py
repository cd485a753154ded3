"""Notebook view of a partition: share of tokens by community size, before and after the cap."""

from __future__ import annotations

import numpy as np

from stgraph import notebook_html as fragments
from stgraph.colours import ALONE, COMMUNITY
from stgraph.community.partition import Partition


def partition_html(parts: Partition) -> str:
    """Size bars, quality and provenance of a partition in host memory."""
    cap = parts.provenance.max_size
    edges = size_edges(int(parts.uncapped_sizes.max(initial=1)), cap)
    series = {}
    for name, colour, sizes in (
        ("before the cap", ALONE, parts.uncapped_sizes),
        ("after", COMMUNITY[0], parts.sizes),
    ):
        mass = np.bincount(np.searchsorted(edges, sizes), weights=sizes, minlength=len(edges))
        series[name] = (colour, (100 * mass / max(1, parts.n_nodes)).tolist())
    mark = None if cap is None else (float(edges.index(cap) + 1), f"cap: {cap:,}")
    labels = [f"{edge:,}" for edge in edges]
    return (
        fragments.headline(repr(parts))
        + fragments.bars(series, labels, mark)
        + fragments.note("% of all tokens, by the size of their community: up to ... tokens")
        + fragments.folded("quality", fragments.facts(parts.summary()))
        + fragments.folded("provenance", fragments.facts(parts.provenance.to_dict()))
    )


def size_edges(largest: int, cap: int | None) -> list[int]:
    """Upper bounds of doubling size classes: up to the cap (from 1 if there is none), and beyond.

    Examples
    --------
    >>> size_edges(300, 101)
    [1, 3, 6, 12, 25, 50, 101, 202, 404]
    >>> size_edges(5, None)
    [1, 2, 4, 8]
    """
    edges = [1 if cap is None else cap]
    while edges[0] > 1:
        edges.insert(0, edges[0] // 2)
    while edges[-1] < largest:
        edges.append(2 * edges[-1])
    return edges
