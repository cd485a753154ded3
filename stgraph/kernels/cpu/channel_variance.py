"""Variance of every feature channel over all tokens, in one pass over the features."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import bad_token
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.frame_similarity import wide_rows
from stgraph.kernels.cpu.rows import FASTMATH, row, row_source, widen
from stgraph.kernels.cpu.threads import even_blocks, run_blocks

_BLOCK = 512  # tokens; fixed, so that sums are the same on any number of threads
_SMALLEST = 1e-30  # variances all below have lost their precision in float32


@compiled(fastmath=FASTMATH)
def _moments(x, first, a, b, H, W, mean, spread):  # type: ignore[no-untyped-def]
    """Mean of x - first and sum of squares around it, over the tokens [a, b): four at a time by Chan's rule.

    Differences from one token make constant channels exactly 0.
    """
    i, P = a, H * W
    while i < b:
        n, size = i - a, 4 if i + 4 <= b else 1
        # with one token left all four are that token: the same mean, no spread, and the weight of one
        j, k, m = i + size // 4, i + size // 4 * 2, i + size // 4 * 3
        x0, x1 = row(x, i // P, i % P // W, i % W), row(x, j // P, j % P // W, j % W)
        x2, x3 = row(x, k // P, k % P // W, k % W), row(x, m // P, m % P // W, m % W)
        share, weight = size / (n + size), n * (size / (n + size))
        for c in range(first.size):
            origin = first[c]
            d0, d1, d2, d3 = widen(x0[c]) - origin, widen(x1[c]) - origin, widen(x2[c]) - origin, widen(x3[c]) - origin
            centre = np.float32(0.25) * ((d0 + d1) + (d2 + d3))
            d0, d1, d2, d3 = d0 - centre, d1 - centre, d2 - centre, d3 - centre
            step = np.float64(centre) - mean[c]
            mean[c] += step * share
            spread[c] += np.float64((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) + step * step * weight
        i += size


def channel_variances(x: Array) -> Array:
    """[d] float64: the variance of each channel over all tokens (divided by N), from float32 differences.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16, any strides

    Raises
    ------
    FeatureError
        a token holds NaN or Inf (the first one is named)
    """
    T, H, W, d = x.shape
    n, source, first = T * H * W, row_source(x), x[0, 0, 0].astype(np.float32)

    def task(block: tuple[int, int]) -> tuple[Array, Array]:
        mean, spread = np.zeros(d), np.zeros(d)
        _moments(source, first, *block, H, W, mean, spread)
        return mean, spread

    mean, spread = np.zeros(d), np.zeros(d)
    blocks = even_blocks(n, _BLOCK)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is looked at below
        for start, stop in even_blocks(len(blocks), 64):  # few partial sums alive at once, added in a fixed order
            for (a, b), (part_mean, part_spread) in zip(
                blocks[start:stop], run_blocks(task, blocks[start:stop]), strict=True
            ):
                step, share = part_mean - mean, (b - a) / b
                spread += part_spread + step * step * (a * share)
                mean += step * share
        variances: Array = spread / n
    if not np.isfinite(variances).all() or variances.max() < _SMALLEST:
        return _wide_variances(x)
    return variances


def _wide_variances(x: Array) -> Array:
    """The same in float64, for features that leave float32's range."""
    nodes = np.arange(int(np.prod(x.shape[:3])))
    total = np.zeros(x.shape[3])
    for part, rows in wide_rows(x, nodes):
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise bad_token(int(part[np.argmin(finite)]), *x.shape[1:3])
        total += rows.sum(axis=0)
    mean = total / nodes.size
    spread = np.zeros(x.shape[3])
    for _, rows in wide_rows(x, nodes):
        spread += ((rows - mean) ** 2).sum(axis=0)
    variances: Array = spread / nodes.size
    return variances
