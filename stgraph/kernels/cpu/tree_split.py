"""Cutting oversized groups into connected pieces along a breadth-first tree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.components import group_blocks, group_members, group_sizes, numbered_roots
from stgraph.kernels.cpu.lattice import BEFORE, LEFT, UP, links_above
from stgraph.kernels.cpu.threads import run_blocks


@compiled()
def _adjacency(n, src, dst, labels, oversized):  # type: ignore[no-untyped-def]
    """CSR adjacency of the edges inside oversized groups."""
    starts = np.zeros(n + 1, np.int64)
    for e in range(src.size):
        if labels[src[e]] == labels[dst[e]] and oversized[labels[src[e]]]:
            starts[src[e] + 1] += 1
            starts[dst[e] + 1] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    at = np.empty(n, np.int64)
    for i in range(n):
        at[i] = starts[i]
    near = np.empty(starts[n], np.int32)
    for e in range(src.size):
        a, b = src[e], dst[e]
        if labels[a] == labels[b] and oversized[labels[a]]:
            near[at[a]] = b
            near[at[b]] = a
            at[a] += 1
            at[b] += 1
    return starts, near


@compiled()
def _sort_by_size(nodes, size):  # type: ignore[no-untyped-def]
    """Stable merge sort in place. (numba's own argsort would add ten seconds of compilation.)"""
    n = nodes.size
    run = 8
    for low in range(0, n, run):
        for i in range(low + 1, min(low + run, n)):
            node = nodes[i]
            j = i
            while j > low and size[nodes[j - 1]] > size[node]:
                nodes[j] = nodes[j - 1]
                j -= 1
            nodes[j] = node
    if n <= run:
        return
    merged = np.empty(n, np.int32)
    while run < n:
        for low in range(0, n, 2 * run):
            i, middle, high = low, min(low + run, n), min(low + 2 * run, n)
            j = middle
            for at in range(low, high):
                if i < middle and (j == high or size[nodes[i]] <= size[nodes[j]]):
                    merged[at] = nodes[i]
                    i += 1
                else:
                    merged[at] = nodes[j]
                    j += 1
        for at in range(n):
            nodes[at] = merged[at]
        run *= 2


def _tree(edges: Any, labels: Array, root: int, queue: Array, parent: Array, tail: int, seen: Array) -> int:
    """Append the breadth-first tree of ``root`` within its group to the queue, in which ``tail`` places are taken;
    returns its end. Neighbours are visited in the order of their ids. Used inside kernels only."""
    raise NotImplementedError("_tree() is only meaningful inside a compiled kernel")


@overload(_tree)
def _tree_along(edges: Any, labels: Any, root: Any, queue: Any, parent: Any, tail: Any, seen: Any) -> Any:
    if len(edges) == 2:

        def listed(edges: Any, labels: Any, root: Any, queue: Any, parent: Any, tail: Any, seen: Any) -> Any:
            starts, near = edges
            queue[tail], parent[tail], seen[root] = root, -1, 0
            head, tail, group = tail, tail + 1, labels[root]
            while head < tail:
                v = queue[head]
                for u in near[starts[v] : starts[v + 1]]:
                    if seen[u] < 0 and labels[u] == group:
                        queue[tail], parent[tail], seen[u] = u, head, 0
                        tail += 1
                head += 1
            return tail

        return listed

    def on_lattice(edges: Any, labels: Any, root: Any, queue: Any, parent: Any, tail: Any, seen: Any) -> Any:
        links, W, frame = edges
        queue[tail], parent[tail], seen[root] = root, -1, 0
        head, tail, group = tail, tail + 1, labels[root]
        while head < tail:
            v = np.int64(queue[head])
            link = links[v]
            for side in range(6):
                if side == 0:
                    linked, u = link & BEFORE, v - frame
                elif side == 1:
                    linked, u = link & UP, v - W
                elif side == 2:
                    linked, u = link & LEFT, v - 1
                elif side == 3:
                    linked, u = links[v + 1] & LEFT, v + 1
                elif side == 4:
                    linked, u = links[v + W] & UP, v + W
                else:
                    linked, u = links[v + frame] & BEFORE, v + frame
                if linked and seen[u] < 0 and labels[u] == group:
                    queue[tail], parent[tail], seen[u] = u, head, 0
                    tail += 1
            head += 1
        return tail

    return on_lattice


@compiled()
def _cut(parent, open_size, cap):  # type: ignore[no-untyped-def]
    """Bottom up: a node takes its children's open pieces, smallest first, while they fit. The others are cut off: their
    ``parent`` becomes -1. Children are adjacent, in the order of their parents."""
    places = np.empty(parent.size, np.int32)
    end = parent.size
    for i in range(parent.size - 1, -1, -1):
        first = end
        while first > 0 and parent[first - 1] == i:
            first -= 1
            places[first] = first
        if end - first > 1:
            _sort_by_size(places[first:end], open_size)
        size = 1
        for j in range(first, end):
            if size + open_size[places[j]] <= cap:
                size += open_size[places[j]]
            else:
                parent[places[j]] = -1
        end = i if parent[i] < 0 else first  # no node has a root among its children
        open_size[i] = size


@compiled()
def _split_groups(edges, labels, members, starts, g0, g1, cap, queue, parent, piece, first):  # type: ignore[no-untyped-def]
    """first[i]: the smallest node of the piece of node i, for the nodes of groups g0..g1-1. ``queue``, ``parent`` and
    ``piece`` [N] are scratch; so is ``members``."""
    for g in range(g0, g1):
        a, b = starts[g], starts[g + 1]
        if b - a <= cap:
            for i in range(a, b):
                first[members[i]] = members[a]
            continue
        for i in range(a, b):
            first[members[i]] = -1
        nodes, above, of = queue[a:b], parent[a:b], piece[a:b]
        tail = 0
        for i in range(a, b):  # a group that is not connected has several trees
            if first[members[i]] < 0:
                tail = _tree(edges, labels, members[i], nodes, above, tail, first)
        _cut(above, of, cap)
        smallest = members[a:b]
        for i in range(b - a):
            if above[i] < 0:
                of[i], smallest[i] = i, nodes[i]
            else:
                of[i] = of[above[i]]
                smallest[of[i]] = min(smallest[of[i]], nodes[i])
        for i in range(b - a):
            first[nodes[i]] = smallest[of[i]]


def _smallest_of_pieces(edges: Any, labels: Array, cap: int) -> Array:
    """[N] int32: the smallest node of each node's piece.

    Parameters
    ----------
    edges : (start of each node's neighbours, neighbours), or (links of a lattice, W, H * W)
    labels : [N] integers, 0..k-1
    cap : largest size allowed, at least 1
    """
    n = labels.size
    members, starts = group_members(labels, group_sizes(labels).size)
    queue, parent, piece, first = (np.empty(n, np.int32) for _ in range(4))

    def task(block: tuple[int, int]) -> None:
        _split_groups(edges, labels, members, starts, *block, cap, queue, parent, piece, first)

    run_blocks(task, group_blocks(starts, light=True))
    return first


def split_trees(src: Array, dst: Array, labels: Array, sizes: Array, cap: int) -> Array:
    """Canonical labels ([N] int32) in which every group larger than ``cap`` is cut into connected pieces.

    Greedy bottom-up cut of the breadth-first tree rooted at each group's smallest node: time linear in nodes and edges
    (times log of the degree), the same result for the same input. Groups are split in parallel, independently of each
    other.

    Parameters
    ----------
    src, dst : [E] int32
    labels : [N] int32, 0..k-1
    sizes : [k] int64
    cap : largest size allowed, at least 1
    """
    return numbered_roots(_smallest_of_pieces(_adjacency(labels.size, src, dst, labels, sizes > cap), labels, cap))


def split_lattice(similarity: Array, tau: float, families: tuple[bool, bool, bool], labels: Array, cap: int) -> Array:
    """The pieces of :func:`split_trees` for the lattice edges with weight > tau, without a list of them.

    Parameters
    ----------
    similarity, tau, families : as for :func:`stgraph.kernels.cpu.lattice.links_above`
    labels : [N] int32, 0..k-1
    cap : largest size allowed, at least 1
    """
    _, _, H, W = similarity.shape
    edges = (links_above(similarity, tau, families), W, H * W)
    return numbered_roots(_smallest_of_pieces(edges, labels, cap))
