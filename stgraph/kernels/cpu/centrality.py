"""Mean cosine similarity of each token to all others of its group, in one streaming pass over the features."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.components import group_blocks
from stgraph.kernels.cpu.rows import FASTMATH, row, row_source, widen
from stgraph.kernels.cpu.threads import even_blocks, run_blocks

Array = np.ndarray[Any, Any]

_LARGE = 4096  # members; larger groups are cut into blocks so that threads can share them
_BLOCK = 1024
_SMALLEST, _LARGEST = 1e-15, 1e15  # norms outside lose precision in float32 and take the float64 path


@compiled()
def _token(x, node, H, W):  # type: ignore[no-untyped-def]
    t, rest = node // (H * W), node % (H * W)
    return row(x, t, rest // W, rest % W)


@compiled()
def _safe(norms, members, i, n):  # type: ignore[no-untyped-def]
    for j in range(i, i + n):
        if not _SMALLEST <= norms[members[j]] <= _LARGEST:
            return False
    return True


@compiled(fastmath=FASTMATH)
def _add_rows(x, members, a, b, norms, H, W, total):  # type: ignore[no-untyped-def]
    """total += the unit features of members[a:b]; four rows at a time save traffic to ``total``."""
    i = a
    while i < b:
        if i + 4 <= b and _safe(norms, members, i, 4):
            m0, m1, m2, m3 = members[i], members[i + 1], members[i + 2], members[i + 3]
            x0, x1, x2, x3 = _token(x, m0, H, W), _token(x, m1, H, W), _token(x, m2, H, W), _token(x, m3, H, W)
            f0, f1 = np.float32(1.0 / norms[m0]), np.float32(1.0 / norms[m1])
            f2, f3 = np.float32(1.0 / norms[m2]), np.float32(1.0 / norms[m3])
            for k in range(total.size):
                total[k] += widen(x0[k]) * f0 + widen(x1[k]) * f1 + widen(x2[k]) * f2 + widen(x3[k]) * f3
            i += 4
            continue
        m0 = members[i]
        x0 = _token(x, m0, H, W)
        if _safe(norms, members, i, 1):
            f0 = np.float32(1.0 / norms[m0])
            for k in range(total.size):
                total[k] += widen(x0[k]) * f0
        elif norms[m0] > 0.0:
            for k in range(total.size):
                total[k] += np.float32(np.float64(widen(x0[k])) / norms[m0])
        i += 1


@compiled(fastmath=FASTMATH)
def _mean_similarity(x, members, a, b, n, norms, H, W, total, out):  # type: ignore[no-untyped-def]
    """out[m] = (unit(m) . total - 1) / (n - 1) for m in members[a:b] of a group of n.

    Fewer than four rows go through the same loop, some of them twice: rows that are equal get the same figure wherever
    they stand, so that their ties are ties.
    """
    i = a
    zero = np.float32(0)
    while i < b:
        step = min(4, b - i)
        if not _safe(norms, members, i, step):
            step = 1
        if _safe(norms, members, i, step):
            m0, m1 = members[i], members[i + min(1, step - 1)]
            m2, m3 = members[i + min(2, step - 1)], members[i + step - 1]
            x0, x1, x2, x3 = _token(x, m0, H, W), _token(x, m1, H, W), _token(x, m2, H, W), _token(x, m3, H, W)
            s0 = s1 = s2 = s3 = zero
            for k in range(total.size):
                v = total[k]
                s0 += widen(x0[k]) * v
                s1 += widen(x1[k]) * v
                s2 += widen(x2[k]) * v
                s3 += widen(x3[k]) * v
            out[m0] = (s0 / norms[m0] - 1.0) / (n - 1)
            out[m1] = (s1 / norms[m1] - 1.0) / (n - 1)
            out[m2] = (s2 / norms[m2] - 1.0) / (n - 1)
            out[m3] = (s3 / norms[m3] - 1.0) / (n - 1)
            i += step
            continue
        m0 = members[i]
        x0 = _token(x, m0, H, W)
        if norms[m0] > 0.0:
            wide = 0.0
            for k in range(total.size):
                wide += np.float64(widen(x0[k])) / norms[m0] * np.float64(total[k])
            out[m0] = (wide - 1.0) / (n - 1)
        else:
            out[m0] = 0.0
        i += 1


@compiled()
def _small_groups(x, members, starts, g0, g1, norms, H, W, d, large, out):  # type: ignore[no-untyped-def]
    total = np.empty(d, np.float32)
    for g in range(g0, g1):
        a, b = starts[g], starts[g + 1]
        n = b - a
        if n == 1:
            out[members[a]] = 1.0
        elif n <= large:
            total[:] = 0
            _add_rows(x, members, a, b, norms, H, W, total)
            _mean_similarity(x, members, a, b, n, norms, H, W, total, out)
            if n == 2:  # equal by symmetry; rounding must not break the tie
                out[members[a + 1]] = out[members[a]]


def _large_group(x: Any, members: Array, a: int, b: int, norms: Array, H: int, W: int, d: int, out: Array) -> None:
    blocks = [(a + i, a + j) for i, j in even_blocks(b - a, _BLOCK)]

    def partial(block: tuple[int, int]) -> Array:
        total = np.zeros(d, np.float32)
        _add_rows(x, members, *block, norms, H, W, total)
        return total

    total = np.zeros(d, np.float64)
    for start, stop in even_blocks(len(blocks), 16):  # a bounded number of partial sums alive, added in a fixed order
        for part in run_blocks(partial, blocks[start:stop]):
            total += part
    total32 = total.astype(np.float32)
    run_blocks(lambda block: _mean_similarity(x, members, *block, b - a, norms, H, W, total32, out), blocks)


def group_centrality(x: Array, norms: Array, members: Array, starts: Array) -> Array:
    """Centrality of every token in its group (ST-SimDiff, equation 4), exactly and in O(N d).

    S(a) = (u_a . sum_b u_b - u_a . u_a) / (n - 1), u being unit features: the mean cosine similarity to ALL other
    members, without an all-pairs matrix. Each row is read twice in quick succession, the second time from cache.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16
    norms : [T, H, W] float64
    members, starts : as :func:`stgraph.kernels.cpu.components.group_members` returns them

    Returns
    -------
    [N] float32; 1 for a group of one; 0 for a zero-norm token
    """
    _, H, W, d = x.shape
    source, flat = row_source(x), norms.reshape(-1)
    out = np.empty(members.size, np.float32)
    sizes = np.diff(starts)
    run_blocks(
        lambda block: _small_groups(source, members, starts, *block, flat, H, W, d, _LARGE, out), group_blocks(starts)
    )
    for g in np.flatnonzero(sizes > _LARGE):
        _large_group(source, members, int(starts[g]), int(starts[g + 1]), flat, H, W, d, out)
    return np.clip(out, -1.0, 1.0, out=out)
