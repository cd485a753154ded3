"""Means of 2x2 tokens and their similarity to their parts; cosines of chosen pairs of rows."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.rows import FASTMATH, row, row_source, widen
from stgraph.kernels.cpu.spanning_tree import SAME
from stgraph.kernels.cpu.threads import even_blocks, run_blocks

_TINY, _HUGE = 1e-15, 1e15  # norms outside lose their products' precision in float32


@compiled()
def _cosine(a, b, norm_a, norm_b, dot):  # type: ignore[no-untyped-def]
    """The cosine of two rows from their float32 product, recomputed in float64 where float32 is unreliable."""
    if norm_a == 0.0 or norm_b == 0.0:
        return np.float32(0)
    total = float(dot)
    if not (_TINY < norm_a < _HUGE and _TINY < norm_b < _HUGE):
        total = 0.0
        for k in range(a.size):
            total += np.float64(widen(a[k])) * np.float64(widen(b[k]))
    cosine = np.float32(max(-1.0, total / (norm_a * norm_b)))
    return np.float32(1) if cosine > SAME else cosine


@compiled(fastmath=FASTMATH)
def _pool(x, h, w, norms, first, last, means, mean_norms, least):  # type: ignore[no-untyped-def]
    """Parents [first, last) of a level of h x w. A side of odd length keeps its first row or column single; a part that
    stands for two is counted twice, which leaves the mean unchanged."""
    up, left = h % 2, w % 2
    rows, columns = (h + up) // 2, (w + left) // 2
    for p in range(first, last):
        t, y, z = p // (rows * columns), 2 * (p // columns % rows) - up, 2 * (p % columns) - left
        y0, y1, z0, z1 = max(y, 0), y + 1, max(z, 0), z + 1
        a, b, c, e = row(x, t, y0, z0), row(x, t, y0, z1), row(x, t, y1, z0), row(x, t, y1, z1)
        mean = means[p]
        square = np.float32(0)
        s0 = s1 = s2 = s3 = square
        quarter = np.float32(0.25)
        for k in range(mean.size):
            v0, v1, v2, v3 = widen(a[k]), widen(b[k]), widen(c[k]), widen(e[k])
            m = quarter * v0 + quarter * v1 + quarter * v2 + quarter * v3
            mean[k] = m
            square += m * m
            s0 += m * v0
            s1 += m * v1
            s2 += m * v2
            s3 += m * v3
        norm = np.sqrt(np.float64(square))
        if not _TINY < norm < _HUGE:
            wide = 0.0
            for k in range(mean.size):
                wide += np.float64(mean[k]) * np.float64(mean[k])
            norm = np.sqrt(wide)
        mean_norms[p] = norm
        least[p] = min(
            min(_cosine(mean, a, norm, norms[t, y0, z0], s0), _cosine(mean, b, norm, norms[t, y0, z1], s1)),
            min(_cosine(mean, c, norm, norms[t, y1, z0], s2), _cosine(mean, e, norm, norms[t, y1, z1], s3)),
        )


@compiled(fastmath=FASTMATH)
def _pairs(x, H, W, norms_x, y, norms_y, a, b, first, last, out):  # type: ignore[no-untyped-def]
    for i in range(first, last):
        t, rest = a[i] // (H * W), a[i] % (H * W)
        p, q = row(x, t, rest // W, rest % W), row(y, 0, 0, b[i])
        dot = np.float32(0)
        for k in range(p.size):
            dot += widen(p[k]) * widen(q[k])
        out[i] = _cosine(p, q, norms_x[a[i]], norms_y[b[i]], dot)


def pool_level(x: Array, norms: Array, means: Array) -> tuple[Array, Array]:
    """Average 2x2 tokens of each frame; sides of odd length keep their first row or column single.

    Parameters
    ----------
    x : [T, h, w, d] float32, float16 or bfloat16, any strides
    norms : [T, h, w] float64
    means : [T * ceil(h/2) * ceil(w/2), d] float32, filled

    Returns
    -------
    norms : of the means, [T, ceil(h/2), ceil(w/2)] float64
    least : [T, ceil(h/2), ceil(w/2)] float32, the smallest cosine of a mean with one of its parts; 0 with a zero row,
        and 1 if it differs from 1 only by rounding
    """
    T, h, w, _ = x.shape
    shape = (T, (h + 1) // 2, (w + 1) // 2)
    source = row_source(x)
    mean_norms, least = np.empty(means.shape[0], np.float64), np.empty(means.shape[0], np.float32)
    blocks = even_blocks(means.shape[0], 128)
    run_blocks(lambda block: _pool(source, h, w, norms, *block, means, mean_norms, least), blocks)
    return mean_norms.reshape(shape), least.reshape(shape)


def pair_cosines(x: Array, norms_x: Array, y: Array, norms_y: Array, a: Array, b: Array) -> Array:
    """Cosines of node a[i] of ``x`` with row b[i] of ``y``, accumulated in float32.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16, any strides
    y : [m, d] float32
    norms_x, norms_y : [T*H*W] and [m] float64
    a, b : [n] int64

    Returns
    -------
    [n] float32; 0 with a zero row, and 1 if it differs from 1 only by rounding
    """
    out = np.empty(a.size, np.float32)
    if a.size == 0:  # x or y may then hold no row at all
        return out
    _, H, W, _ = x.shape
    source, other = row_source(x), row_source(y[None, None])
    run_blocks(lambda block: _pairs(source, H, W, norms_x, other, norms_y, a, b, *block, out), even_blocks(a.size, 256))
    return out
