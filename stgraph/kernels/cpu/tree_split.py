"""Cutting oversized groups into connected pieces along a breadth-first tree."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.kernels.cpu.compiled import compiled

Array = np.ndarray[Any, Any]


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


@compiled()
def _split(src, dst, labels, sizes, cap):  # type: ignore[no-untyped-def]
    n = labels.size
    oversized = np.empty(sizes.size, np.bool_)
    for g in range(sizes.size):
        oversized[g] = sizes[g] > cap
    starts, near = _adjacency(n, src, dst, labels, oversized)
    # Breadth-first forest over the oversized groups. A node's children stand side by side in `order`.
    order = np.empty(n, np.int32)
    parent = np.full(n, -2, np.int32)  # -2 not reached, -1 a root
    first_child = np.zeros(n, np.int32)
    end_child = np.zeros(n, np.int32)
    filled = 0
    for root in range(n):
        if not oversized[labels[root]] or parent[root] != -2:
            continue
        parent[root] = -1
        order[filled] = root
        head = filled
        filled += 1
        while head < filled:
            v = order[head]
            head += 1
            first_child[v] = filled
            for j in range(starts[v], starts[v + 1]):
                if parent[near[j]] == -2:
                    parent[near[j]] = v
                    order[filled] = near[j]
                    filled += 1
            end_child[v] = filled
    # Bottom up: a node takes its children's open pieces, smallest first, while they fit; the others are cut off.
    open_size = np.ones(n, np.int64)
    cut = np.zeros(n, np.bool_)
    for i in range(filled - 1, -1, -1):
        v = order[i]
        a, b = first_child[v], end_child[v]
        if b - a > 1:
            _sort_by_size(order[a:b], open_size)
        for k in range(a, b):
            child = order[k]
            if open_size[v] + open_size[child] <= cap:
                open_size[v] += open_size[child]
            else:
                cut[child] = True
    pieces = np.empty(n, np.int64)
    for i in range(n):
        pieces[i] = labels[i]
    new = sizes.size
    for i in range(filled):
        v = order[i]
        if parent[v] == -1 or cut[v]:
            pieces[v] = new
            new += 1
        else:
            pieces[v] = pieces[parent[v]]
    return pieces


def split_trees(src: Array, dst: Array, labels: Array, sizes: Array, cap: int) -> Array:
    """Labels ([N] int64, not canonical) in which every group larger than ``cap`` is cut into connected pieces.

    Greedy bottom-up cut of the breadth-first tree rooted at each group's smallest node: time linear in nodes and edges
    (times log of the degree), the same result for the same input.

    Parameters
    ----------
    src, dst : [E] int32
    labels : [N] int32, 0..k-1
    sizes : [k] int64
    cap : largest size allowed, at least 1
    """
    result: Array = _split(src, dst, labels, sizes, cap)
    return result
