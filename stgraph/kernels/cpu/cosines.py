"""Cosine similarities between chosen rows of a matrix, each pair once.

A BLAS product costs more here: it copies the chosen rows, cannot omit the mirrored half, and its threads interfere with
ours.
"""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.rows import FASTMATH

# Squared norms outside this range have lost precision (or all of it) in float32.
_SMALLEST, _LARGEST = np.float32(1e-30), np.float32(1e30)


@compiled(fastmath=FASTMATH)
def _dot_products(x, rows, columns, mirrored, out):  # type: ignore[no-untyped-def]
    """Two rows with four columns at a time. At the ends the last ones are repeated, so that every product is summed by
    the same instructions and equal vectors give equal bits. ``mirrored``: rows and columns are the same list."""
    n, m = rows.size, columns.size
    for i in range(0, n, 2):
        i1 = min(i + 1, n - 1)
        a, b = x[rows[i]], x[rows[i1]]
        for j in range(i // 4 * 4 if mirrored else 0, m, 4):
            j1, j2, j3 = min(j + 1, m - 1), min(j + 2, m - 1), min(j + 3, m - 1)
            c, d, e, f = x[columns[j]], x[columns[j1]], x[columns[j2]], x[columns[j3]]
            s0 = np.float32(0)
            s1 = s2 = s3 = s4 = s5 = s6 = s7 = s0
            for k in range(a.size):
                p, q = a[k], b[k]
                s0 += p * c[k]
                s1 += p * d[k]
                s2 += p * e[k]
                s3 += p * f[k]
                s4 += q * c[k]
                s5 += q * d[k]
                s6 += q * e[k]
                s7 += q * f[k]
            out[i, j], out[i, j1], out[i, j2], out[i, j3] = s0, s1, s2, s3
            out[i1, j], out[i1, j1], out[i1, j2], out[i1, j3] = s4, s5, s6, s7
    if mirrored:
        for i in range(n):
            for j in range(i):
                out[i, j] = out[j, i]


def cosines(x: Array, rows: Array, columns: Array | None = None) -> Array:
    """[n, m] float32 in [-1, 1]: cosine of x[rows[i]] to x[columns[j]]; 0 for zero rows. Quadratic in time and memory.

    Parameters
    ----------
    x : [P, c] float32, finite
    rows, columns : [n], [m] integers; without ``columns`` the rows are compared with each other, in half the time
    """
    source = np.require(x, np.float32, ["C", "A"])
    with np.errstate(over="ignore", under="ignore"):
        square = np.einsum("pc,pc->p", source, source)
    far = np.flatnonzero(~((square >= _SMALLEST) & (square <= _LARGEST)))
    peaks = np.abs(source[far]).max(axis=1, initial=0)
    far, peaks = far[peaks > 0], peaks[peaks > 0]
    if far.size:  # brought to a largest element of 1, which changes no cosine
        source = source.copy()
        source[far] /= peaks[:, None]
        square[far] = np.einsum("pc,pc->p", source[far], source[far])
    source = source.view()
    source.flags.writeable = False  # one compiled version serves writable and read-only arrays
    inverse = np.divide(1, np.sqrt(square), out=np.zeros_like(square), where=square > 0)
    first = rows.astype(np.int64, copy=False)
    second = first if columns is None else columns.astype(np.int64, copy=False)
    out = np.empty((first.size, second.size), np.float32)
    _dot_products(source, first, second, columns is None, out)
    out *= inverse[first, None] * inverse[None, second]
    return np.clip(out, -1, 1, out=out)
