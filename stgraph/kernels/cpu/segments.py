"""Graph segmentation by Felzenszwalb and Huttenlocher (IJCV 2004), with cosine similarity instead of colour difference.

Edges are processed from most to least similar. Two segments are joined if the edge between them is at most as
dissimilar as the inside of either segment plus scale / size: small segments join easily, large ones only along edges
like their own. There is no similarity threshold.
"""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.components import _find, _number

_BITS = 11
_BUCKETS = 1 << _BITS


@compiled()
def _ascending(keys):  # type: ignore[no-untyped-def]
    # Radix sort of 32-bit keys, stable, so that equal similarities keep the order of their edges.
    order, other = np.arange(keys.size).astype(np.int32), np.empty(keys.size, np.int32)
    for shift in (0, _BITS, 2 * _BITS):
        starts = np.zeros(_BUCKETS + 1, np.int64)
        for i in range(keys.size):
            starts[((keys[i] >> shift) & (_BUCKETS - 1)) + 1] += 1
        for b in range(_BUCKETS):
            starts[b + 1] += starts[b]
        for i in range(keys.size):
            bucket = (keys[order[i]] >> shift) & (_BUCKETS - 1)
            other[starts[bucket]] = order[i]
            starts[bucket] += 1
        order, other = other, order
    return order


@compiled()
def _segments(n, src, dst, weight, order, scale, min_size, cap):  # type: ignore[no-untyped-def]
    parent, size, inside = np.arange(n).astype(np.int32), np.ones(n, np.int32), np.zeros(n, np.float32)
    for e in order:
        a, b = _find(parent, src[e]), _find(parent, dst[e])
        if a == b or size[a] + size[b] > cap:
            continue
        dissimilarity = np.float32(1) - weight[e]
        if dissimilarity <= min(inside[a] + scale / np.float32(size[a]), inside[b] + scale / np.float32(size[b])):
            if b < a:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            inside[a] = dissimilarity  # the largest so far, since edges come in order
    if min_size > 1:
        for e in order:
            a, b = _find(parent, src[e]), _find(parent, dst[e])
            if a != b and min(size[a], size[b]) < min_size and size[a] + size[b] <= cap:
                if b < a:
                    a, b = b, a
                parent[b] = a
                size[a] += size[b]
    return _number(parent, n)


def segment_labels(
    n_nodes: int, src: Array, dst: Array, weight: Array, scale: float, *, min_size: int = 1, max_size: int | None = None
) -> Array:
    """[N] int32 canonical labels of connected segments, in time linear in the edges.

    Parameters
    ----------
    src, dst, weight : [E]; weights are similarities of at most 1
    scale : k of the paper, in units of 1 - similarity; larger gives larger segments
    min_size : smaller segments are afterwards joined to their most similar neighbour
    max_size : joins that would exceed it are skipped; None for no bound
    """
    bits = (np.float32(0) - weight.astype(np.float32)).view(np.uint32)  # not -weight, which has two zeros
    # Map floats to unsigned integers of the same order: negative ones reversed, below the others.
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    cap = n_nodes if max_size is None else max_size
    labels: Array = _segments(n_nodes, src, dst, weight, _ascending(keys), np.float32(scale), min_size, cap)[0]
    return labels
