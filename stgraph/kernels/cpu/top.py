"""The k largest values of each group, ties to the smaller index, without sorting."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, Any]


@numba.njit(nogil=True, cache=True)
def _keep_top(values, members, a, b, k, keep):  # type: ignore[no-untyped-def]
    n = b - a
    if k >= n:
        for i in range(a, b):
            keep[members[i]] = True
        return
    if k <= 0:
        return
    bound = np.partition(values[members[a:b]], n - k)[n - k]
    left = k
    for i in range(a, b):
        if values[members[i]] > bound:
            keep[members[i]] = True
            left -= 1
    for i in range(a, b):
        if left == 0:
            break
        if values[members[i]] == bound:
            keep[members[i]] = True
            left -= 1


@numba.njit(nogil=True, cache=True)
def _keep_top_groups(values, members, starts, counts, keep):  # type: ignore[no-untyped-def]
    for g in range(counts.size):
        _keep_top(values, members, starts[g], starts[g + 1], counts[g], keep)


def top_of_groups(values: Array, members: Array, starts: Array, counts: Array) -> Array:
    """[N] bool: the counts[g] largest of each group g; among equals the smaller index wins.

    Parameters
    ----------
    values : [N] float32 or float64 without NaN
    members, starts : the groups; members ascending within each
    counts : [n_groups] int64
    """
    keep = np.zeros(values.size, np.bool_)
    _keep_top_groups(values, members, starts, counts, keep)
    return keep


def top_of(values: Array, candidates: Array, k: int) -> Array:
    """[N] bool: the ``k`` candidates (ascending indices) of largest value; among equals the smaller index wins."""
    keep = np.zeros(values.size, np.bool_)
    _keep_top(values, candidates, 0, candidates.size, k, keep)
    return keep
