"""Connected components by union-find, and the canonical numbering of labels."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.threads import num_threads, run_blocks, thread_ranges


@compiled()
def _find(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]  # path halving
        i = parent[i]
    return i


@compiled()
def _unite(parent, src, dst):  # type: ignore[no-untyped-def]
    for e in range(src.size):
        a, b = _find(parent, src[e]), _find(parent, dst[e])
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b


@compiled()
def _number(parent, n):  # type: ignore[no-untyped-def]
    # The root is the smallest member, so ascending order meets it before every other member.
    labels = np.empty(n, np.int32)
    count = 0
    for i in range(n):
        if parent[i] == i:
            labels[i] = count
            count += 1
        else:
            labels[i] = labels[_find(parent, i)]
    return labels, count


@compiled()
def _count_roots(parent, a, b):  # type: ignore[no-untyped-def]
    n = 0
    for i in range(a, b):
        n += parent[i] == i
    return n


@compiled()
def _number_roots(parent, a, b, count, labels):  # type: ignore[no-untyped-def]
    for i in range(a, b):
        if parent[i] == i:
            labels[i] = count
            count += 1


@compiled()
def _number_others(parent, a, b, labels):  # type: ignore[no-untyped-def]
    for i in range(a, b):
        root = parent[i]
        if root != i:
            while parent[root] != root:  # nothing is written to ``parent``: other threads read it
                root = parent[root]
            labels[i] = labels[root]


@compiled()
def _components(n, src, dst):  # type: ignore[no-untyped-def]
    parent = np.empty(n, np.int32)
    for i in range(n):
        parent[i] = i
    _unite(parent, src, dst)
    return _number(parent, n)


@compiled()
def _first_occurrence(labels, bound):  # type: ignore[no-untyped-def]
    new = np.full(bound, -1, np.int32)
    out = np.empty(labels.size, np.int32)
    count = 0
    for i in range(labels.size):
        if new[labels[i]] < 0:
            new[labels[i]] = count
            count += 1
        out[i] = new[labels[i]]
    return out, count


@compiled()
def _sizes(labels, n_groups):  # type: ignore[no-untyped-def]
    sizes = np.zeros(n_groups, np.int64)
    for i in range(labels.size):
        sizes[labels[i]] += 1
    return sizes


@compiled()
def _group(labels, n_groups):  # type: ignore[no-untyped-def]
    starts = np.zeros(n_groups + 1, np.int64)
    for i in range(labels.size):
        starts[labels[i] + 1] += 1
    for g in range(n_groups):
        starts[g + 1] += starts[g]
    at = np.empty(n_groups, np.int64)
    for g in range(n_groups):
        at[g] = starts[g]
    members = np.empty(labels.size, np.int32)
    for i in range(labels.size):
        members[at[labels[i]]] = i
        at[labels[i]] += 1
    return members, starts


@compiled()
def _even_cuts(starts, parts):  # type: ignore[no-untyped-def]
    """Numbers of the groups at which ``parts`` ranges with similar numbers of members start, and of groups."""
    cuts = np.empty(parts + 1, np.int64)
    g, groups = 0, starts.size - 1
    for i in range(parts):
        while g < groups and starts[g] < starts[groups] * i // parts:
            g += 1
        cuts[i] = g
    cuts[parts] = groups
    return cuts


@compiled()
def _compact(n, src, dst):  # type: ignore[no-untyped-def]
    place = np.full(n, -1, np.int32)
    for e in range(src.size):
        place[src[e]] = 0
        place[dst[e]] = 0
    count = 0
    for i in range(n):
        if place[i] == 0:
            place[i] = count
            count += 1
    new_src, new_dst = np.empty(src.size, np.int32), np.empty(src.size, np.int32)
    for e in range(src.size):
        new_src[e] = place[src[e]]
        new_dst[e] = place[dst[e]]
    return place, count, new_src, new_dst


def without_isolated(n_nodes: int, src: Array, dst: Array) -> tuple[Array, int, Array, Array]:
    """Renumber the nodes that have an edge 0..count-1, in order.

    Returns (place [N] int32 with -1 for isolated nodes, count, src, dst).
    """
    place, count, new_src, new_dst = _compact(n_nodes, src, dst)
    return place, int(count), new_src, new_dst


def connected_components(n_nodes: int, src: Array, dst: Array) -> tuple[Array, int]:
    """Canonical component labels ([N] int32, numbered by smallest node) and their number, in near-linear time."""
    labels, count = _components(n_nodes, src, dst)
    return labels, int(count)


def canonical_labels(labels: Array) -> tuple[Array, int]:
    """Labels renumbered by first occurrence ([N] int32), and the number of groups. Any integer labels will do."""
    if labels.size == 0:
        return np.empty(0, np.int32), 0
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= 4 * labels.size:
        labels = np.unique(labels, return_inverse=True)[1]
        high = int(labels.max())
    new, count = _first_occurrence(labels, high + 1)
    return new, int(count)


def numbered_roots(parent: Array) -> Array:
    """[N] int32 canonical labels of trees whose roots are their smallest nodes, on all threads.

    Parameters
    ----------
    parent : [N] int32, the parent of each node; a root is its own
    """
    labels = np.empty(parent.size, np.int32)
    ranges = thread_ranges(parent.size)
    before = [0, *accumulate(run_blocks(lambda b: int(_count_roots(parent, *b)), ranges[:-1]))]
    run_blocks(lambda i: _number_roots(parent, *ranges[i], before[i], labels), range(len(ranges)))
    run_blocks(lambda b: _number_others(parent, *b, labels), ranges)
    return labels


def group_sizes(labels: Array) -> Array:
    """[n_groups] int64: nodes of each group 0..n_groups-1."""
    sizes: Array = _sizes(labels, int(labels.max()) + 1 if labels.size else 0)
    return sizes


def with_isolated(place: Array, labels: Array, count: int) -> Array:
    """[N] int32 labels from those of the nodes with an edge (0..count-1); every other node is a group of one."""
    alone = place < 0
    out = labels[place]
    out[alone] = np.arange(count, count + np.count_nonzero(alone), dtype=np.int32)
    return out


def group_members(labels: Array, n_groups: int) -> tuple[Array, Array]:
    """Nodes sorted by (label, node) ([N] int32), and the start of each group ([n_groups + 1] int64)."""
    members, starts = _group(labels, n_groups)
    return members, starts


def group_blocks(starts: Array, light: bool = False) -> list[tuple[int, int]]:
    """Ranges of groups with similar numbers of members, a few per thread. For work that treats every group separately,
    so that block boundaries do not affect results.

    Parameters
    ----------
    starts : as returned by :func:`group_members`
    light : with little work per member, one range for few members, as in :func:`thread_ranges`
    """
    n, groups = int(starts[-1]), starts.size - 1
    if light and len(thread_ranges(n)) == 1:
        return [(0, groups)]
    parts = min(groups, 4 * num_threads())
    cuts = _even_cuts(starts, parts).tolist()
    return [(a, b) for a, b in pairwise(cuts) if a < b]
