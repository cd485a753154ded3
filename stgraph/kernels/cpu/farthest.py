"""Farthest-first traversal: each pick is the row farthest from all rows picked before it."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.cosines import cosines
from stgraph.kernels.cpu.rows import FASTMATH
from stgraph.kernels.cpu.spanning_tree import SAME
from stgraph.kernels.cpu.threads import even_blocks, run_blocks

_ROUGH = np.float32(1e-4)  # more than a product of unit rows may be off in float32
_BLOCK = 256  # rows whose cosines to all others are formed at a time


@compiled(fastmath=FASTMATH)
def _traverse(units, weights, nearest, picks, distances, same):  # type: ignore[no-untyped-def]
    """Distances to the picks are lowered four rows at a time; at the end the last row is repeated, so that equal rows
    give equal bits."""
    n = units.shape[0]
    picked = np.zeros(n, np.bool_)
    for step in range(picks.size):
        best = picks[0] if step == 0 else -1
        if step > 0:
            for j in range(n):
                if not picked[j] and (best < 0 or nearest[j] > nearest[best]):
                    best = j
            picks[step], distances[step] = best, nearest[best]
        picked[best] = True
        centre = units[best]
        for j in range(0, n, 4):
            j1, j2, j3 = min(j + 1, n - 1), min(j + 2, n - 1), min(j + 3, n - 1)
            a, b, c, d = units[j], units[j1], units[j2], units[j3]
            s0 = np.float32(0)
            s1 = s2 = s3 = s0
            for k in range(centre.size):
                p = centre[k]
                s0 += p * a[k]
                s1 += p * b[k]
                s2 += p * c[k]
                s3 += p * d[k]
            for i, s in ((j, s0), (j1, s1), (j2, s2), (j3, s3)):
                distance = (np.float32(0) if s > same else np.float32(1) - s) * weights[i]
                nearest[i] = min(nearest[i], distance)


def farthest_first(units: Array, n_picks: int, weights: Array | None = None) -> tuple[Array, Array]:
    """Rows by farthest-first traversal in cosine distance, without repetition; ties go to the smaller row.

    The first pick is the row whose nearest neighbour is farthest. Cosines within 2^-20 of 1 count as 1. Time O(n^2 d)
    for the first pick and O(n_picks n d) for the others, memory O(n).

    Parameters
    ----------
    units : [n, d] float32, unit rows; a zero row has distance 1 from every other
    n_picks : 1 to n
    weights : [n] positive; the distance to row j counts weights[j] times

    Returns
    -------
    picks : [n_picks] int64, in the order they were picked
    distances : [n_picks] float32
        weighted distance to the earlier picks; for the first, to its nearest neighbour, or 0 without one
    """
    n = units.shape[0]
    factors = np.ones(n, np.float32) if weights is None else weights.astype(np.float32)
    picks, distances = np.zeros(n_picks, np.int64), np.zeros(n_picks, np.float32)
    picks[0], distances[0] = _most_apart(units, factors)
    _traverse(units, factors, np.full(n, np.inf, np.float32), picks, distances, SAME)
    return picks, distances


def _most_apart(units: Array, weights: Array) -> tuple[int, np.float32]:
    """The row with the largest weighted distance to its nearest neighbour, and that distance; 0 without neighbours.

    A matrix product finds the rows close to the largest; only for those are sums formed in a fixed order.
    """
    n = units.shape[0]
    if n == 1:
        return 0, np.float32(0)
    rough = np.empty(n, np.float32)
    for a, b in even_blocks(n, _BLOCK):  # one after the other: the BLAS under it has threads of its own
        similar = units[a:b] @ units.T
        similar[np.arange(b - a), np.arange(a, b)] = -1
        rough[a:b] = (1 - similar.max(axis=1)) * weights[a:b]
    slack = _ROUGH * weights
    near = np.flatnonzero(rough + slack >= (rough - slack).max())
    every = np.arange(n)

    def of_block(block: tuple[int, int]) -> Array:
        rows = near[slice(*block)]
        similar = cosines(units, rows, every)
        similar[np.arange(rows.size), rows] = -1
        largest = similar.max(axis=1)
        return np.where(largest > SAME, np.float32(0), 1 - largest) * weights[rows]

    distances = np.concatenate(run_blocks(of_block, even_blocks(near.size, _BLOCK)))
    return int(near[distances.argmax()]), distances.max()
