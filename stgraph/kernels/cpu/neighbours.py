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
from stgraph.kernels.cpu.vector_loops import lead_of
from stgraph.kernels.cpu.vectors import COLUMNS, EARLY, neighbour_sums

RIGHT, BOTTOM, TEMPORAL = 0, 1, 2
# Norms outside this range have lost precision (or all of it) in their float32 squares and are recomputed in float64.
_SMALLEST, _LARGEST = 1e-15, 1e15


def _brick(x: Any, t: int, u: int, h: int, w: int, v: int, ahead: tuple[int, int, int], lead: int, out: Array) -> None:
    """Store in ``out`` [2, H, W, 4] the products of tokens (t, h, w) and (u, h, w), and of the same in column v (the
    next one, or w again), with themselves and their left, upper and previous neighbours. Rows from ``ahead`` on, and
    those one frame later, are prefetched. Used only inside kernels."""
    raise NotImplementedError("_brick() is only meaningful inside a compiled kernel")


@overload(_brick, inline="always")
def _brick_of_rows(x: Any, t: Any, u: Any, h: Any, w: Any, v: Any, ahead: Any, lead: Any, out: Any) -> Any:
    if not isinstance(x, types.BaseTuple):

        def of_array(x: Any, t: Any, u: Any, h: Any, w: Any, v: Any, ahead: Any, lead: Any, out: Any) -> Any:
            _column(x, t, u, h, v, out)
            _column(x, t, u, h, w, out)

        return of_array

    if COLUMNS == 1:

        def of_columns(x: Any, t: Any, u: Any, h: Any, w: Any, v: Any, ahead: Any, lead: Any, out: Any) -> Any:
            flat, start, frame, line, step, n = x
            _, H, W, _ = out.shape
            up, before, later = min(h, 1) * line, min(t, 1) * frame, (u - t) * frame
            p, place = start + t * frame + h * line + w * step, 4 * (h * W + w)
            left, p2, place2 = p - min(w, 1) * step, p + (v - w) * step, place + 4 * (v - w)
            left2, then, apart = (
                p2 - min(v, 1) * step,
                start + ahead[0] * frame + ahead[1] * line + ahead[2] * step,
                4 * (u - t) * H * W,
            )
            rows = (p, p + later, left, left + later, p - up, p + later - up, p - before)
            rows2 = (p2, p2 + later, left2, left2 + later, p2 - up, p2 + later - up, p2 - before)
            neighbour_sums(flat, rows2, (then, then + later), n, lead, out, (place2, place2 + apart))
            neighbour_sums(flat, rows, (then, then + later), n, lead, out, (place, place + apart))

        return of_columns

    def of_bricks(x: Any, t: Any, u: Any, h: Any, w: Any, v: Any, ahead: Any, lead: Any, out: Any) -> Any:
        flat, start, frame, line, step, n = x
        _, H, W, _ = out.shape
        up, before, later = min(h, 1) * line, min(t, 1) * frame, (u - t) * frame
        p, place = start + t * frame + h * line + w * step, 4 * (h * W + w)
        left, p2, place2 = p - min(w, 1) * step, p + (v - w) * step, place + 4 * (v - w)
        q, q2, then = p + later, p2 + later, start + ahead[0] * frame + ahead[1] * line + ahead[2] * step
        rows = (p, p2, q, q2, left, left + later, p - up, p2 - up, q - up, q2 - up, p - before, p2 - before)
        apart = 4 * (u - t) * H * W
        places = (place, place + apart, place2, place2 + apart)
        neighbour_sums(flat, rows, (then, then + step, then + later, then + later + step), n, lead, out, places)

    return of_bricks


@compiled(fastmath=FASTMATH)
def _column(x, t, u, h, w, out):  # type: ignore[no-untyped-def]
    """The same products for tokens (t, h, w) and (u, h, w) if features are not contiguous along d."""
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
    for i, s in enumerate((s4, s5, s6, s7)):
        out[u - t, h, w, i] = s
    for i, s in enumerate((s0, s1, s2, s3)):
        out[0, h, w, i] = s


@compiled(fastmath=FASTMATH)
def _products(x, lead, further, weights, norms, t0, t1, h0, h1):  # type: ignore[no-untyped-def]
    """Norms, and dot products of each token with its left, upper and previous neighbour, stored at the smaller index.

    Each step takes two frames by two columns: sixteen products of twelve rows, with the earlier frame and the first
    column still in registers for the later frame and the second column. A last frame without a partner is paired with
    itself, as is a last column; the values of the first of the two stay. Values stored for missing neighbours are
    meaningless.
    """
    _, _, H, W = weights.shape
    out = np.empty((2, H, W, 4), np.float32)
    for t in range(t0, t1, 2):
        u = min(t + 1, t1 - 1)
        for h in range(h0, h1):
            for w in range(0, W, 2):
                t2, h2, w2 = t, h, w + further
                while w2 >= W:
                    h2, w2 = h2 + 1, w2 - W
                if h2 >= h1:
                    t2, h2 = min(t + 2, t1 - 1 - (u - t)), min(h0 + h2 - h1, h1 - 1)
                _brick(x, t, u, h, w, min(w + 1, W - 1), (t2, h2, w2), lead, out)
        for i in range(t, u + 1):
            _take(out[i - t].reshape(-1, 4), weights, norms, i, h0, h1)


@compiled()
def _take(products, weights, norms, t, h0, h1):  # type: ignore[no-untyped-def]
    """Store the products [H * W, 4] of rows h0..h1-1 of frame t."""
    W = norms.shape[2]
    a, b, first = h0 * W, h1 * W, max(h0, 1) * W
    norm = norms[t].reshape(-1)[a:b]
    for i in range(b - a):
        norm[i] = np.sqrt(np.float64(products[a + i, 0]))
    _copy(products[max(a, 1) : b, 1], weights[RIGHT, t].reshape(-1)[max(a - 1, 0) :])
    _copy(products[first:b, 2], weights[BOTTOM, t].reshape(-1)[first - W :])
    if t > 0:
        _copy(products[a:b, 3], weights[TEMPORAL, t - 1].reshape(-1)[a:])


@compiled()
def _copy(source, out):  # type: ignore[no-untyped-def]
    for i in range(source.size):
        out[i] = source[i]


@compiled()
def _exact_dot(x, t, h, w, t2, h2, w2):  # type: ignore[no-untyped-def]
    a, b = row(x, t, h, w), row(x, t2, h2, w2)
    total = 0.0
    for k in range(a.size):
        total += np.float64(widen(a[k])) * np.float64(widen(b[k]))
    return total


@compiled()
def _in_range(norm):  # type: ignore[no-untyped-def]
    return _SMALLEST <= norm <= _LARGEST


@compiled()
def _odd_norms(x, norms, odd, t0, t1):  # type: ignore[no-untyped-def]
    """Recompute norms out of range in frames t0..t1-1; ``odd``: whether a frame has any. Return the first token with
    NaN or Inf, or -1."""
    _, H, W = norms.shape
    for t in range(t0, t1):
        odd[t] = False
        for h in range(H):
            for w in range(W):
                if not _in_range(norms[t, h, w]):
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
def _cosine(x, norms, dot, t, h, w, t2, h2, w2):  # type: ignore[no-untyped-def]
    a, b = norms[t, h, w], norms[t2, h2, w2]
    if not a * b > 0.0:
        return 0.0
    if not (_in_range(a) and _in_range(b)):
        dot = _exact_dot(x, t, h, w, t2, h2, w2)
    return min(1.0, max(-1.0, dot / (a * b)))


@compiled()
def _weights(x, products, norms, odd, t0, t1):  # type: ignore[no-untyped-def]
    """Turn products with the right, lower and next neighbour into weights, in place."""
    T, H, W = norms.shape
    for t in range(t0, t1):
        for family in range(3):
            t2, down, step = t + (family == TEMPORAL), int(family == BOTTOM), int(family == RIGHT)
            if t2 == T:
                continue
            if not (odd[t] or odd[t2]):
                # One frame at a time; values at its edges are overwritten below.
                n = H * W - down * W - step
                theirs = norms[t2].reshape(-1)[H * W - n :]
                _divide(products[family, t].reshape(-1)[:n], norms[t].reshape(-1)[:n], theirs)
                continue
            for h in range(H - down):
                for w in range(W - step):
                    dot = np.float64(products[family, t, h, w])
                    products[family, t, h, w] = _cosine(x, norms, dot, t, h, w, t2, h + down, w + step)
        products[RIGHT, t, :, W - 1] = np.nan
        products[BOTTOM, t, H - 1] = np.nan
        if t == T - 1:
            products[TEMPORAL, t] = np.nan


def weights_of_products(source: Any, products: Array, norms: Array) -> int | None:
    """Turn products into weights, in place, and recompute norms that float32 cannot hold; return the first token with
    NaN or Inf, if any.

    Parameters
    ----------
    source : features [T, H, W, d] as loops read them (:func:`stgraph.kernels.cpu.rows.row_source`)
    products : [3, T, H, W] float32, with the right, lower and next token; any value where there is none
    norms : [T, H, W] float64, roots of float32 squares
    """
    T, H, W = norms.shape
    odd = np.empty(T, np.bool_)
    ranges = thread_ranges(T, H * W)
    bad = [b for b in run_blocks(lambda r: int(_odd_norms(source, norms, odd, *r)), ranges) if b >= 0]
    if bad:
        return bad[0]
    run_blocks(lambda r: _weights(source, products, norms, odd, *r), ranges)
    return None


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
    lead, further = lead_of(source), columns_ahead(x)
    weights, norms = np.empty((3, T, H, W), np.float32), np.empty((T, H, W), np.float64)
    run_blocks(lambda block: _products(source, lead, further, weights, norms, *block), _blocks(T, H))
    bad = weights_of_products(source, weights, norms)
    if bad is not None:
        raise bad_token(bad, H, W)
    return weights, norms


def columns_ahead(x: Array) -> int:
    """Number of columns ahead at which rows are prefetched: the next brick, or further if rows are short."""
    return 2 * -(-2 * EARLY // int(x.shape[3] * x.itemsize))


def _blocks(T: int, H: int) -> list[tuple[int, int, int, int]]:
    """Work blocks (t0, t1, h0, h1), a few per thread, since threads rarely start at once. Ranges start at even frames,
    so that the pairing of frames, and with it every rounding, is the same on any number of threads; short videos are
    cut by rows instead."""
    threads = num_threads()
    pairs = (T + 1) // 2
    if pairs >= threads:
        parts = min(pairs, 4 * threads) if threads > 1 else 1
        cuts = [2 * (pairs * i // parts) for i in range(parts)] + [T]
        return [(a, b, 0, H) for a, b in pairwise(cuts) if a < b]
    rows = [H * i // threads for i in range(threads + 1)]
    return [(0, T, a, b) for a, b in pairwise(rows) if a < b]
