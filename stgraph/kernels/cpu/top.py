"""The k largest values of each group, ties to the smaller index."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.kernels.cpu.compiled import compiled

Array = np.ndarray[Any, Any]

_SMALL = 256  # members up to which insertion sort beats selection, and compiles in no time


@compiled()
def _keep_above(values, members, a, b, bound, k, keep):  # type: ignore[no-untyped-def]
    """Keep the values above ``bound``, the k-th largest, and the first of those equal to it."""
    for i in range(a, b):
        if values[members[i]] > bound:
            keep[members[i]] = True
            k -= 1
    for i in range(a, b):
        if k == 0:
            break
        if values[members[i]] == bound:
            keep[members[i]] = True
            k -= 1


@compiled()
def _keep_top_small(values, members, starts, counts, small, keep):  # type: ignore[no-untyped-def]
    ordered = np.empty(small, np.float64)
    for g in range(counts.size):
        a, b, k = starts[g], starts[g + 1], counts[g]
        n = b - a
        if k >= n:
            for i in range(a, b):
                keep[members[i]] = True
        elif k > 0 and n <= small:
            for i in range(n):
                value = values[members[a + i]]
                if i >= k and value <= ordered[k - 1]:
                    continue
                j = min(i, k - 1)
                while j > 0 and ordered[j - 1] < value:
                    ordered[j] = ordered[j - 1]
                    j -= 1
                ordered[j] = value
            _keep_above(values, members, a, b, ordered[k - 1], k, keep)


def top_of_groups(values: Array, members: Array, starts: Array, counts: Array) -> Array:
    """[N] bool: the counts[g] largest of each group g; among equals the smaller index wins.

    Parameters
    ----------
    values : [N] float32 or float64 without NaN
    members, starts : the groups; members ascending within each
    counts : [n_groups] int64
    """
    keep = np.zeros(values.size, np.bool_)
    values = values.astype(np.float64, copy=False)  # one compiled version serves both
    _keep_top_small(values, members, starts, counts, _SMALL, keep)
    sizes = np.diff(starts)
    for g in np.flatnonzero((sizes > _SMALL) & (counts > 0) & (counts < sizes)):
        a, b, k = int(starts[g]), int(starts[g + 1]), int(counts[g])
        bound = np.partition(values[members[a:b]], b - a - k)[b - a - k]
        _keep_above(values, members, a, b, bound, k, keep)
    return keep


def top_of(values: Array, candidates: Array, k: int) -> Array:
    """[N] bool: the ``k`` candidates (ascending indices) of largest value; among equals the smaller index wins."""
    starts, counts = np.array([0, candidates.size]), np.array([k])
    return top_of_groups(values, candidates.astype(np.int32, copy=False), starts, counts)


def top_of_mask(values: Array, mask: Array, k: int) -> Array:
    """[N] bool: the ``k`` nodes of ``mask`` ([N] bool) with the largest values; among equals the smaller index wins."""
    return top_of(values, np.flatnonzero(mask), k)
