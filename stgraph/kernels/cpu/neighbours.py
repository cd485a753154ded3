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
from stgraph.kernels.cpu.vectors import COLUMNS, neighbour_sums

RIGHT, BOTTOM, TEMPORAL = 0, 1, 2
# Squared norms outside this range have lost precision (or all of it) in float32 and are redone in float64.
_SMALLEST, _LARGEST = np.float32(1e-30), np.float32(1e30)


def _brick(x: Any, t: int, u: int, h: int, w: int, v: int, ahead: tuple[int, int, int], lead: int, out: Array) -> None:
    """The products of the tokens (t, h, w), (u, h, w), and of those of column v, the next one, or w again, with
    themselves, their left, upper and previous neighbour, into ``out``. The rows from ``ahead`` on and those a frame
    later come next. Used inside kernels only."""
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
            p, place = start + t * frame + h * line + w * step, 4 * ((t * H + h) * W + w)
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
        p, place = start + t * frame + h * line + w * step, 4 * ((t * H + h) * W + w)
        left, p2, place2 = p - min(w, 1) * step, p + (v - w) * step, place + 4 * (v - w)
        q, q2, then = p + later, p2 + later, start + ahead[0] * frame + ahead[1] * line + ahead[2] * step
        rows = (p, p2, q, q2, left, left + later, p - up, p2 - up, q - up, q2 - up, p - before, p2 - before)
        apart = 4 * (u - t) * H * W
        places = (place, place + apart, place2, place2 + apart)
        neighbour_sums(flat, rows, (then, then + step, then + later, then + later + step), n, lead, out, places)

    return of_bricks


@compiled(fastmath=FASTMATH)
def _column(x, t, u, h, w, out):  # type: ignore[no-untyped-def]
    """The products of the tokens (t, h, w) and (u, h, w), of features that are not contiguous along d."""
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
        out[u, h, w, i] = s
    for i, s in enumerate((s0, s1, s2, s3)):
        out[t, h, w, i] = s


@compiled(fastmath=FASTMATH)
def _products(x, lead, out, t0, t1, h0, h1):  # type: ignore[no-untyped-def]
    """Dot products of each token with itself, its left, upper and previous neighbour; with itself where there is none.

    Two frames by two columns are taken at a time: sixteen products of twelve rows, of which the later frame finds the
    earlier and the second column the first in registers. Where the last frame has no partner it stands in for its own,
    and so does the last column of an odd number; what the earlier ones write stays.
    """
    W = out.shape[2]
    for t in range(t0, t1, 2):
        u = min(t + 1, t1 - 1)
        for h in range(h0, h1):
            for w in range(0, W, 2):
                t2, h2, w2 = t, h, w + 2
                if w2 >= W:
                    h2, w2 = h + 1, 0
                if h2 == h1:
                    t2, h2 = min(t + 2, t1 - 1 - (u - t)), h0
                _brick(x, t, u, h, w, min(w + 1, W - 1), (t2, h2, w2), lead, out)


@compiled()
def _exact_dot(x, t, h, w, t2, h2, w2):  # type: ignore[no-untyped-def]
    a, b = row(x, t, h, w), row(x, t2, h2, w2)
    total = 0.0
    for k in range(a.size):
        total += np.float64(widen(a[k])) * np.float64(widen(b[k]))
    return total


@compiled()
def _norms(x, products, norms, odd, t0, t1):  # type: ignore[no-untyped-def]
    """Norms of frames t0..t1-1, and whether a frame has squares to be redone. Returns the first token with a NaN or
    Inf, or -1."""
    _, H, W, _ = products.shape
    for t in range(t0, t1):
        odd[t] = False
        for h in range(H):
            for w in range(W):
                norms[t, h, w] = np.sqrt(np.float64(products[t, h, w, 0]))
        for h in range(H):
            for w in range(W):
                if not _in_range(products, t, h, w):
                    odd[t] = True
                    exact = _exact_dot(x, t, h, w, t, h, w)
                    if not np.isfinite(exact):
                        return (t * H + h) * W + w
                    norms[t, h, w] = np.sqrt(exact)
    return -1


@compiled()
def _in_range(products, t, h, w):  # type: ignore[no-untyped-def]
    return _SMALLEST <= products[t, h, w, 0] <= _LARGEST


@compiled(error_model="numpy", fastmath={"nnan", "nsz"})
def _divide(dots, norms, other_norms, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = min(1.0, max(-1.0, np.float64(dots[4 * i]) / (norms[i] * other_norms[i])))


@compiled()
def _cosine(x, products, family, scale, t, h, w, t2, h2, w2):  # type: ignore[no-untyped-def]
    if not scale > 0.0:
        return 0.0
    dot = np.float64(products[t2, h2, w2, 1 + family])
    if not (_in_range(products, t, h, w) and _in_range(products, t2, h2, w2)):
        dot = _exact_dot(x, t, h, w, t2, h2, w2)
    return min(1.0, max(-1.0, dot / scale))


@compiled()
def _weights(x, products, norms, odd, weights, t0, t1):  # type: ignore[no-untyped-def]
    """Weights of the edges from frames t0..t1-1 to the right, lower and next neighbour."""
    T, H, W, _ = products.shape
    for t in range(t0, t1):
        for family in range(3):
            t2, down, step = t + (family == TEMPORAL), int(family == BOTTOM), int(family == RIGHT)
            if t2 == T:
                continue
            if not (odd[t] or odd[t2]):
                # A frame at a time; what stands at its edge is overwritten below.
                later = down * W + step
                n = H * W - later
                dots = products[t2].reshape(-1)[4 * later + 1 + family :]
                _divide(dots, norms[t].reshape(-1), norms[t2].reshape(-1)[later:], weights[family, t].reshape(-1)[:n])
                continue
            for h in range(H - down):
                for w in range(W - step):
                    scale = norms[t, h, w] * norms[t2, h + down, w + step]
                    cosine = _cosine(x, products, family, scale, t, h, w, t2, h + down, w + step)
                    weights[family, t, h, w] = cosine
        weights[RIGHT, t, :, W - 1] = np.nan
        weights[BOTTOM, t, H - 1] = np.nan
        if t == T - 1:
            weights[TEMPORAL, t] = np.nan


def weights_of_products(source: Any, products: Array) -> tuple[Array, Array] | int:
    """Weights and norms as :func:`neighbour_cosines` returns them, or the first token with a NaN or Inf.

    Parameters
    ----------
    source : of the features, [T, H, W, d] (:func:`stgraph.kernels.cpu.rows.row_source`)
    products : [T, H, W, 4] float32, of each token with itself, its left, upper and previous neighbour; whatever stands
        where there is none
    """
    T, H, W, _ = products.shape
    weights, norms, odd = np.empty((3, T, H, W), np.float32), np.empty((T, H, W), np.float64), np.empty(T, np.bool_)
    ranges = thread_ranges(T, H * W)
    bad = [b for b in run_blocks(lambda r: int(_norms(source, products, norms, odd, *r)), ranges) if b >= 0]
    if bad:
        return bad[0]
    run_blocks(lambda r: _weights(source, products, norms, odd, weights, *r), ranges)
    return weights, norms


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
    lead, products = lead_of(source), np.empty((T, H, W, 4), np.float32)
    run_blocks(lambda block: _products(source, lead, products, *block), _blocks(T, H))
    found = weights_of_products(source, products)
    if isinstance(found, int):
        raise bad_token(found, H, W)
    return found


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
