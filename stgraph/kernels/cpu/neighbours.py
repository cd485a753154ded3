"""Cosine similarity of every token with its right, bottom and next-frame neighbour, in one pass over the features."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import overload

from stgraph.aliases import Array
from stgraph.errors import bad_token
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.rows import FASTMATH, row, row_source, widen
from stgraph.kernels.cpu.threads import num_threads, run_blocks, thread_ranges
from stgraph.kernels.cpu.vectors import neighbour_sums

RIGHT, BOTTOM, TEMPORAL = 0, 1, 2
# Squared norms outside this range have lost precision (or all of it) in float32 and are redone in float64.
_SMALLEST, _LARGEST = np.float32(1e-30), np.float32(1e30)


def _eight_products(x: Any, t: int, u: int, h: int, w: int, t2: int, h2: int, w2: int) -> Any:
    """Of tokens p = (t, h, w) and q = (u, h, w): p with p, its left, upper and previous neighbour; q with q, its left
    and upper one, and p. The rows (t2, h2, w2) and the one a frame later come next. Used inside kernels only."""
    raise NotImplementedError("_eight_products() is only meaningful inside a compiled kernel")


@overload(_eight_products, inline="always")
def _products_of_rows(x: Any, t: Any, u: Any, h: Any, w: Any, t2: Any, h2: Any, w2: Any) -> Any:
    if isinstance(x, types.BaseTuple):

        def of_buffer(x: Any, t: Any, u: Any, h: Any, w: Any, t2: Any, h2: Any, w2: Any) -> Any:
            flat, start, frame, line, step, n = x
            p, q = start + t * frame + h * line + w * step, start + u * frame + h * line + w * step
            left, up, before = min(w, 1) * step, min(h, 1) * line, min(t, 1) * frame
            ahead = start + t2 * frame + h2 * line + w2 * step
            rows = (p, q, p - left, q - left, p - up, q - up, p - before)
            return neighbour_sums(flat, rows, (ahead, ahead + (u - t) * frame), n)

        return of_buffer

    def of_array(x: Any, t: Any, u: Any, h: Any, w: Any, t2: Any, h2: Any, w2: Any) -> Any:
        a, b = x[t, h, w], x[u, h, w]
        a_left, b_left = x[t, h, max(w - 1, 0)], x[u, h, max(w - 1, 0)]
        a_up, b_up = x[t, max(h - 1, 0), w], x[u, max(h - 1, 0), w]
        a_before = x[max(t - 1, 0), h, w]
        s0 = np.float32(0)
        s1 = s2 = s3 = s4 = s5 = s6 = s7 = s0
        for k in range(a.size):
            p, q = widen(a[k]), widen(b[k])
            s0 += p * p
            s1 += p * widen(a_left[k])
            s2 += p * widen(a_up[k])
            s3 += p * widen(a_before[k])
            s4 += q * q
            s5 += q * widen(b_left[k])
            s6 += q * widen(b_up[k])
            s7 += q * p
        return s0, s1, s2, s3, s4, s5, s6, s7

    return of_array


@compiled(fastmath=FASTMATH)
def _products(x, square, right, bottom, temporal, t0, t1, h0, h1, W):  # type: ignore[no-untyped-def]
    """Dot products of each token with itself, its left, upper and previous neighbour; with a neighbour they are stored
    at the smaller index.

    Two frames are taken at a time: the later one finds the earlier in registers, which halves the traffic from the
    previous frame. Where the last frame has no partner it stands in for its own, and the earlier writes last.
    """
    for t in range(t0, t1, 2):
        u = min(t + 1, t1 - 1)
        for h in range(h0, h1):
            for w in range(W):
                t2, h2, w2 = t, h, w + 1
                if w2 == W:
                    h2, w2 = h + 1, 0
                if h2 == h1:
                    t2, h2 = min(t + 2, t1 - 1 - (u - t)), h0
                s = _eight_products(x, t, u, h, w, t2, h2, w2)
                square[u, h, w], square[t, h, w] = s[4], s[0]
                if w > 0:
                    right[u, h, w - 1], right[t, h, w - 1] = s[5], s[1]
                if h > 0:
                    bottom[u, h - 1, w], bottom[t, h - 1, w] = s[6], s[2]
                if u > 0:
                    temporal[u - 1, h, w] = s[7]
                if t > 0:
                    temporal[t - 1, h, w] = s[3]


@compiled()
def _exact_dot(x, t, h, w, t2, h2, w2):  # type: ignore[no-untyped-def]
    a, b = row(x, t, h, w), row(x, t2, h2, w2)
    total = 0.0
    for k in range(a.size):
        total += np.float64(widen(a[k])) * np.float64(widen(b[k]))
    return total


@compiled()
def _norms(x, square, norms, odd, t0, t1):  # type: ignore[no-untyped-def]
    """Norms of frames t0..t1-1, and whether a frame has squares to be redone. Returns the first token with a NaN or
    Inf, or -1."""
    _, H, W = square.shape
    for t in range(t0, t1):
        odd[t] = False
        for h in range(H):
            for w in range(W):
                norms[t, h, w] = np.sqrt(np.float64(square[t, h, w]))
        for h in range(H):
            for w in range(W):
                if not _SMALLEST <= square[t, h, w] <= _LARGEST:
                    odd[t] = True
                    exact = _exact_dot(x, t, h, w, t, h, w)
                    if not np.isfinite(exact):
                        return (t * H + h) * W + w
                    norms[t, h, w] = np.sqrt(exact)
    return -1


@compiled(error_model="numpy", fastmath={"nnan", "nsz"})
def _divide(dots, norms, other_norms):  # type: ignore[no-untyped-def]
    for i in range(dots.size):
        dots[i] = min(1.0, max(-1.0, np.float64(dots[i]) / (norms[i] * other_norms[i])))


@compiled()
def _cosine(x, square, dot, scale, t, h, w, t2, h2, w2):  # type: ignore[no-untyped-def]
    if not scale > 0.0:
        return 0.0
    if not (_SMALLEST <= square[t, h, w] <= _LARGEST and _SMALLEST <= square[t2, h2, w2] <= _LARGEST):
        dot = _exact_dot(x, t, h, w, t2, h2, w2)
    return min(1.0, max(-1.0, dot / scale))


@compiled()
def _weights(x, square, products, norms, odd, t0, t1):  # type: ignore[no-untyped-def]
    """Turn products with the right, lower and next neighbour into weights, in place."""
    T, H, W = square.shape
    for t in range(t0, t1):
        for family in range(3):
            t2, down, step = t + (family == TEMPORAL), int(family == BOTTOM), int(family == RIGHT)
            if t2 == T:
                continue
            if not (odd[t] or odd[t2]):
                # A frame at a time; what stands at its edge is overwritten below.
                n = H * W - down * W - step
                theirs = norms[t2].reshape(-1)[H * W - n :]
                _divide(products[family, t].reshape(-1)[:n], norms[t].reshape(-1)[:n], theirs)
                continue
            for h in range(H - down):
                for w in range(W - step):
                    scale = norms[t, h, w] * norms[t2, h + down, w + step]
                    dot = np.float64(products[family, t, h, w])
                    products[family, t, h, w] = _cosine(x, square, dot, scale, t, h, w, t2, h + down, w + step)
        products[RIGHT, t, :, W - 1] = np.nan
        products[BOTTOM, t, H - 1] = np.nan
        if t == T - 1:
            products[TEMPORAL, t] = np.nan


def weights_of_products(source: Any, square: Array, products: Array) -> Array | int:
    """Turn products into weights, in place; returns the norms, or the first token with a NaN or Inf.

    Parameters
    ----------
    source : of the features, [T, H, W, d] (:func:`stgraph.kernels.cpu.rows.row_source`)
    square : [T, H, W] float32, each token's product with itself
    products : [3, T, H, W] float32, with the right, lower and next one; whatever stands where there is none
    """
    T, H, W = square.shape
    norms, odd = np.empty(square.shape, np.float64), np.empty(T, np.bool_)
    ranges = thread_ranges(T, H * W)
    bad = [b for b in run_blocks(lambda r: int(_norms(source, square, norms, odd, *r)), ranges) if b >= 0]
    if bad:
        return bad[0]
    run_blocks(lambda r: _weights(source, square, products, norms, odd, *r), ranges)
    return norms


def neighbour_cosines(x: Array) -> tuple[Array, Array]:
    """Cosine similarity along the lattice edges, accumulated in float32, and the norms.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16, any strides

    Returns
    -------
    weights : [3, T, H, W] float32
        similarity of token (t, h, w) to (t, h, w+1), (t, h+1, w) and (t+1, h, w), in [-1, 1]; NaN where the lattice
        ends; 0 on every edge of a zero-norm token
    norms : [T, H, W] float64

    Raises
    ------
    FeatureError
        a token holds NaN or Inf (the first one is named)
    """
    T, H, W, _ = x.shape
    source = row_source(x)
    square = np.empty((T, H, W), np.float32)
    products = np.empty((3, T, H, W), np.float32)

    def task(block: tuple[int, int, int, int]) -> None:
        _products(source, square, *products, *block, W)

    run_blocks(task, _blocks(T, H))
    norms = weights_of_products(source, square, products)
    if isinstance(norms, int):
        raise bad_token(norms, H, W)
    return products, norms


def _blocks(T: int, H: int) -> list[tuple[int, int, int, int]]:
    """(t0, t1, h0, h1) work blocks. Frame ranges start at even frames, so that the pairing of frames, and with it
    every rounding, is the same on any number of threads; few frames are cut by rows instead."""
    parts = num_threads()
    pairs = (T + 1) // 2
    if pairs >= parts:
        cuts = [2 * (pairs * i // parts) for i in range(parts)] + [T]
        return [(a, b, 0, H) for a, b in pairwise(cuts) if a < b]
    rows = [H * i // parts for i in range(parts + 1)]
    return [(0, T, a, b) for a, b in pairwise(rows) if a < b]
