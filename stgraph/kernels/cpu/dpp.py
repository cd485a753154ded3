"""Greedy maximisation of a determinantal point process, by an incremental Cholesky factor (Chen et al., 2018)."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.rows import FASTMATH

_EQUAL = 1e-12  # of the first gain: closer ones tie


@compiled(fastmath=FASTMATH)
def _greedy(units, quality, least, picks):  # type: ignore[no-untyped-def]
    """Picks until a gain falls to ``least`` of the first; returns the number of picks."""
    n, k = units.shape[0], picks.size
    factor = np.empty((k, n))
    gain = np.empty(n)
    for i in range(n):
        s = 0.0
        for c in range(units.shape[1]):
            s += units[i, c] * units[i, c]
        gain[i] = quality[i] * quality[i] if s > 0.5 else 0.0  # a unit row is one, whatever its sum comes to
    picked = np.zeros(n, np.bool_)
    first = 0.0
    for step in range(k):
        best = -1
        for i in range(n):
            if not picked[i] and (best < 0 or gain[i] - gain[best] > _EQUAL * first):
                best = i
        if step == 0:
            first = gain[best]
        if gain[best] <= least * first:
            return step
        picks[step] = best
        picked[best] = True
        row, root, a = factor[step], np.sqrt(gain[best]), units[best]
        for i in range(n):
            b, s = units[i], 0.0
            for c in range(a.size):
                s += a[c] * b[c]
            row[i] = quality[best] * quality[i] * s
        for t in range(step):
            earlier, share = factor[t], factor[t, best]
            for i in range(n):
                row[i] -= share * earlier[i]
        for i in range(n):
            row[i] /= root
            gain[i] -= row[i] * row[i]
    return k


def greedy_dpp(units: Array, quality: Array, n_picks: int, least: float = 1e-6) -> Array:
    """Rows with the greatest determinant of the kernel quality_i quality_j cos(i, j), picked greedily without
    repetition.

    Gains within 1e-12 of the first one of each other tie, and ties go to the smaller row. Once the best gain is at most
    ``least`` of the first one, the remaining rows depend on those picked, and only quality decides. Time O(n_picks n d
    + n_picks^2 n), memory O(n_picks n).

    Parameters
    ----------
    units : [n, d] float64, unit rows or zeros
    quality : [n] float64, not negative
    n_picks : 1 to n

    Returns
    -------
    [n_picks] int64, in the order they were picked
    """
    picks = np.zeros(n_picks, np.int64)
    made = _greedy(np.ascontiguousarray(units), quality, least, picks)
    rest = np.argsort(-quality, kind="stable")
    picks[made:] = rest[~np.isin(rest, picks[:made])][: n_picks - made]
    return picks
