"""The k largest values of each group, ties to the smaller index."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.components import group_blocks
from stgraph.kernels.cpu.threads import run_blocks


@compiled()
def _kth_key(keys, k):  # type: ignore[no-untyped-def]
    """A key reached by k keys, or the k-th largest if it is not unique, by bisection: its counts are vectorised and
    branch-free."""
    low, high = np.int64(keys[0]), np.int64(keys[0])
    bound = np.empty(1, keys.dtype)  # of the keys' type: half as wide, twice as many at a time
    for i in range(keys.size):
        low, high = min(low, np.int64(keys[i])), max(high, np.int64(keys[i]))
    while low < high:
        middle = (low | high) - ((low ^ high) >> 1)  # their mean, rounded up; the sum might overflow
        bound[0] = middle
        least, n = bound[0], 0
        for i in range(keys.size):
            n += keys[i] >= least
        if n == k:
            return middle
        if n > k:
            low = middle
        else:
            high = middle - 1
    return low


@compiled()
def _keep_top(values, members, starts, counts, g0, g1, held, keys, keep):  # type: ignore[no-untyped-def]
    """``held`` and ``keys`` are the same memory, as floats and as integers of their size; as long as any group."""
    bits = 8 * keys.itemsize - 1
    flip = (np.int64(1) << (bits - 1)) - 1 + (np.int64(1) << (bits - 1))  # all bits but the sign
    for g in range(g0, g1):
        a, b, k = starts[g], starts[g + 1], counts[g]
        if k >= b - a:
            for i in range(a, b):
                keep[members[i]] = True
        elif k > 0:
            for i in range(a, b):
                held[i - a] = values[members[i]] + 0.0  # -0 and 0 are equal, and so must their keys be
            here = keys[: b - a]
            for i in range(b - a):  # integers in the order of the floats
                here[i] ^= (here[i] >> bits) & flip
            bound = _kth_key(here, k)
            for i in range(b - a):
                if here[i] > bound:
                    keep[members[a + i]] = True
                    k -= 1
            for i in range(b - a):
                if k == 0:
                    break
                if here[i] == bound:
                    keep[members[a + i]] = True
                    k -= 1


def top_of_groups(values: Array, members: Array, starts: Array, counts: Array) -> Array:
    """[N] bool: the counts[g] largest of each group g; ties go to the smaller index.

    Parameters
    ----------
    values : [N] float32 or float64 without NaN
    members, starts : the groups; members ascending within each
    counts : [n_groups] int64
    """
    keep = np.zeros(values.size, np.bool_)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    largest = int(np.diff(starts).max(initial=0))

    def task(block: tuple[int, int]) -> None:
        held = np.empty(largest, values.dtype)
        keys = held.view(f"i{values.itemsize}")
        _keep_top(values, members, starts, counts, *block, held, keys, keep)

    run_blocks(task, group_blocks(starts, light=True))
    return keep


def top_share_of_groups(values: Array, members: Array, starts: Array, above: int, below: int) -> Array:
    """:func:`top_of_groups` of ceil(size * above / below) of each group, in 64 bits."""
    return top_of_groups(values, members, starts, (np.diff(starts) * above + (below - 1)) // below)


@compiled()
def _places(mask, out):  # type: ignore[no-untyped-def]
    n = 0
    for i in range(mask.size):
        if mask[i]:
            out[n] = i
            n += 1


def top_of(values: Array, candidates: Array, k: int) -> Array:
    """[N] bool: the ``k`` candidates (ascending indices) with the largest values; ties go to the smaller index."""
    starts, counts = np.array([0, candidates.size]), np.array([k])
    return top_of_groups(values, candidates.astype(np.int32, copy=False), starts, counts)


def top_of_mask(values: Array, mask: Array, k: int, first: Array | None = None) -> Array:
    """[N] bool: the ``k`` nodes of ``mask`` ([N] bool) with the largest values; ties go to the smaller index.

    Those of ``first`` ([N] bool, all of them in ``mask``) come before the others.
    """
    if first is not None:
        best = top_of_mask(values, first, k)
        return best | top_of_mask(values, mask & ~first, k - int(np.count_nonzero(best)))
    candidates = np.empty(np.count_nonzero(mask), np.int32)
    _places(mask, candidates)
    return top_of(values, candidates, k)


def seat_scores(values: Array, members: Array, starts: Array) -> Array:
    """[N] float64: |g| / (2 k + 1) for the k-th largest value, from 0, of group g; among equals the smaller index comes
    first.

    Parameters
    ----------
    values : [N] float32 or float64 without NaN
    members, starts : the groups; members ascending within each
    """
    sizes = np.diff(starts)
    group = np.repeat(np.arange(sizes.size), sizes)
    order = members[np.lexsort((-values[members], group))]  # stable: equal values in the order of their members
    rank = np.arange(order.size) - starts[group]
    scores = np.empty(order.size)
    scores[order] = sizes[group] / (2 * rank + 1)
    return scores
