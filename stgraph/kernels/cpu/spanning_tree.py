"""Maximum spanning trees: what single linkage merges, in the order in which it merges."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.components import _find

# Cosines this close to 1 differ from it by float32 rounding alone; they count as 1, so that equal tokens tie.
SAME = np.float32(1 - 2**-20)


@compiled()
def _prim(similarity, low, high, weight):  # type: ignore[no-untyped-def]
    """Prim's algorithm under the strict order (similarity descending, pair ascending), which makes the tree unique."""
    n = similarity.shape[0]
    outside = np.empty(n, np.int32)  # the nodes not yet in the tree, compact
    best = np.full(n, -np.inf, np.float32)
    partner = np.zeros(n, np.int32)
    for i in range(n):
        outside[i] = i
    left, newest = n, 0
    outside[0] = n - 1
    left -= 1
    for edge in range(n - 1):
        row = similarity[newest]
        at, top, top_low, top_high = -1, np.float32(0), 0, 0
        for i in range(left):
            v = outside[i]
            value = row[v]
            if value > SAME:
                value = np.float32(1)
            if value >= best[v]:
                # Both pairs hold v, so the one with the smaller other node is the smaller pair.
                if value > best[v] or newest < partner[v]:
                    best[v] = value
                    partner[v] = newest
            if at >= 0 and best[v] < top:
                continue
            a, b = min(v, partner[v]), max(v, partner[v])
            if at < 0 or best[v] > top or a < top_low or (a == top_low and b < top_high):
                at, top, top_low, top_high = i, best[v], a, b
        newest = outside[at]
        left -= 1
        outside[at] = outside[left]
        low[edge], high[edge], weight[edge] = top_low, top_high, top


@compiled()
def _joins(n, src, dst, most, taken):  # type: ignore[no-untyped-def]
    parent = np.empty(n, np.int32)
    for i in range(n):
        parent[i] = i
    for e in range(src.size):
        if most == 0:
            break
        a, b = _find(parent, src[e]), _find(parent, dst[e])
        if a != b:
            parent[max(a, b)] = min(a, b)
            taken[e] = True
            most -= 1


def unit_products(units: Array) -> Array:
    """[n, n] float32, symmetric to the bit: products of unit rows ([n, d] float32)."""
    products: Array = units @ units.T
    return products


def maximum_spanning_tree(similarity: Array) -> tuple[Array, Array, Array]:
    """The maximum spanning tree of a complete graph, strongest edge first, ties to the smaller (low, high).

    Its edges above a threshold connect what all pairs above that threshold connect, and its first m edges are the
    first m merges of single linkage.

    Parameters
    ----------
    similarity : [n, n] float32, symmetric, C-contiguous; values within float32 rounding of 1 count as 1

    Returns
    -------
    low, high : [n - 1] int32 with low < high
    weight : [n - 1] float32, descending
    """
    n = similarity.shape[0]
    low, high, weight = np.empty(n - 1, np.int32), np.empty(n - 1, np.int32), np.empty(n - 1, np.float32)
    _prim(similarity, low, high, weight)
    order = np.lexsort((high, low, -weight))
    return low[order], high[order], weight[order]


def joining_edges(n_nodes: int, src: Array, dst: Array, most: int) -> Array:
    """[E] bool: the first ``most`` edges, in the order given, that join two trees of a growing forest (Kruskal).

    Parameters
    ----------
    src, dst : [E] int32
    """
    taken = np.zeros(src.size, np.bool_)
    _joins(n_nodes, src, dst, most, taken)
    return taken
