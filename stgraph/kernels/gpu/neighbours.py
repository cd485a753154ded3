"""Cosine similarity of every token with its right, bottom and next-frame neighbour, in one pass over the features."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.errors import bad_token
from stgraph.kernels.gpu.rows import SIZES, blocks, is_safe, launch, node_offset, node_strides, wide

_DEEP, _RUN = 2, 16  # bricks of a program: frames of bricks, and bricks along a frame
_CHANNELS = 64  # of a row at a time
_PROGRAMS = 700  # are wanted; shorter videos are cut along the channels into up to _PARTS
_PARTS = 8
_TOKENS = 64  # per program of the kernel that rarely reads features
_WIDE = 16  # channels of float64 at a time, limited by registers


@triton.jit
def _row(at, there, P: tl.constexpr, CHANNELS: tl.constexpr, PER: tl.constexpr, EVEN: tl.constexpr):  # type: ignore[no-untyped-def]
    """One row of each of P tokens in float32, split into PER tensors [P, CHANNELS // PER]: a thread reads PER channels
    at once and, since these are in different tensors, adds their products on its own."""
    if EVEN:
        value = wide(tl.load(at))
    else:
        value = wide(tl.load(at, mask=there, other=0.0))
    if PER == 8:
        a, b = tl.split(tl.reshape(value, [P, CHANNELS // 8, 2, 2, 2]))
        a0, a1 = tl.split(a)
        b0, b1 = tl.split(b)
        a00, a01 = tl.split(a0)
        a10, a11 = tl.split(a1)
        b00, b01 = tl.split(b0)
        b10, b11 = tl.split(b1)
        return (a00, b00, a10, b10, a01, b01, a11, b11)
    else:
        a, b = tl.split(tl.reshape(value, [P, CHANNELS // 4, 2, 2]))
        a0, a1 = tl.split(a)
        b0, b1 = tl.split(b)
        return (a0, b0, a1, b1)


@triton.jit
def _add(total, a, b, PER: tl.constexpr):  # type: ignore[no-untyped-def]
    for e in tl.static_range(PER):
        total += a[e] * b[e]
    return total


@triton.jit
def _store_frame(sums, s, t, h, w, T, H, W):  # type: ignore[no-untyped-def]
    n = tl.cast(T * H * W, tl.int64)
    for i in tl.static_range(8):
        inside = (t < T) & (h < H) & (w + i // 4 < W)
        tl.store(sums + i % 4 * n + (t * H + h) * W + w + i // 4, tl.sum(s[i], 1), mask=inside)


@triton.jit(do_not_specialize=SIZES)
def _products(  # type: ignore[no-untyped-def]
    x, sums, bad, T, H, W, d, stride_t, stride_h, stride_w, stride_d,
    DEEP: tl.constexpr, RUN: tl.constexpr, CHANNELS: tl.constexpr, PER: tl.constexpr, PARTS: tl.constexpr,
    EVEN: tl.constexpr, NARROW: tl.constexpr,
):  # fmt: skip
    """Dot products of each token with itself and its three later neighbours, over one part of the channels.

    A thread holds bricks of two frames by two columns, so that twelve rows give sixteen products; a program has DEEP x
    RUN of them, RUN along a frame. Past the end of the lattice the last token is read again; the next kernel ignores
    products with it. ``bad`` is set to N, and lowered by that kernel.
    """
    tl.store(bad, T * H * W)
    place = tl.arange(0, DEEP * RUN)
    run, part = tl.program_id(0), tl.program_id(1)
    pairs = tl.cdiv(W, 2)
    q = run * RUN + place % RUN
    t = (q // (H * pairs) * DEEP + place // RUN) * 2
    h, w = q % (H * pairs) // pairs, q % pairs * 2
    # Offsets of rows from the program's first frame, in elements: 32 bits usually suffice.
    base = tl.minimum(run * RUN // (H * pairs) * (DEEP * 2), T - 1)
    kind: tl.constexpr = tl.int32 if NARROW else tl.int64
    first, second, third = (
        (tl.minimum(t, T - 1) - base).to(kind) * stride_t,
        (tl.minimum(t + 1, T - 1) - base).to(kind) * stride_t,
        (tl.minimum(t + 2, T - 1) - base).to(kind) * stride_t,
    )
    line, below = h.to(kind) * stride_h, tl.minimum(h + 1, H - 1).to(kind) * stride_h
    one, two, right = (
        w.to(kind) * stride_w,
        tl.minimum(w + 1, W - 1).to(kind) * stride_w,
        tl.minimum(w + 2, W - 1).to(kind) * stride_w,
    )
    lane = tl.arange(0, CHANNELS)
    far = (lane.to(kind) * stride_d)[None, :]
    zero = tl.zeros([DEEP * RUN, CHANNELS // PER], tl.float32)
    s0, s1, s2, s3, s4, s5, s6, s7 = zero, zero, zero, zero, zero, zero, zero, zero
    z0, z1, z2, z3, z4, z5, z6, z7 = zero, zero, zero, zero, zero, zero, zero, zero
    share = tl.cdiv(tl.cdiv(d, CHANNELS), PARTS) * CHANNELS
    origin = x + base.to(tl.int64) * stride_t
    P: tl.constexpr = DEEP * RUN
    for channel in range(part * share, tl.minimum(part * share + share, d), CHANNELS):
        at = origin + tl.cast(channel, tl.int64) * stride_d
        there = (channel + lane < d)[None, :]
        a = _row(at + ((first + line + one)[:, None] + far), there, P, CHANNELS, PER, EVEN)
        b = _row(at + ((first + line + two)[:, None] + far), there, P, CHANNELS, PER, EVEN)
        s0, s1, s4 = _add(s0, a, a, PER), _add(s1, a, b, PER), _add(s4, b, b, PER)
        s5 = _add(s5, b, _row(at + ((first + line + right)[:, None] + far), there, P, CHANNELS, PER, EVEN), PER)
        s2 = _add(s2, a, _row(at + ((first + below + one)[:, None] + far), there, P, CHANNELS, PER, EVEN), PER)
        s6 = _add(s6, b, _row(at + ((first + below + two)[:, None] + far), there, P, CHANNELS, PER, EVEN), PER)
        e = _row(at + ((second + line + one)[:, None] + far), there, P, CHANNELS, PER, EVEN)
        f = _row(at + ((second + line + two)[:, None] + far), there, P, CHANNELS, PER, EVEN)
        s3, s7 = _add(s3, a, e, PER), _add(s7, b, f, PER)
        z0, z1, z4 = _add(z0, e, e, PER), _add(z1, e, f, PER), _add(z4, f, f, PER)
        z5 = _add(z5, f, _row(at + ((second + line + right)[:, None] + far), there, P, CHANNELS, PER, EVEN), PER)
        z2 = _add(z2, e, _row(at + ((second + below + one)[:, None] + far), there, P, CHANNELS, PER, EVEN), PER)
        z6 = _add(z6, f, _row(at + ((second + below + two)[:, None] + far), there, P, CHANNELS, PER, EVEN), PER)
        z3 = _add(z3, e, _row(at + ((third + line + one)[:, None] + far), there, P, CHANNELS, PER, EVEN), PER)
        z7 = _add(z7, f, _row(at + ((third + line + two)[:, None] + far), there, P, CHANNELS, PER, EVEN), PER)
    sums += part.to(tl.int64) * 4 * (T * H * W)
    _store_frame(sums, (s0, s1, s2, s3, s4, s5, s6, s7), t, h, w, T, H, W)
    _store_frame(sums, (z0, z1, z2, z3, z4, z5, z6, z7), t + 1, h, w, T, H, W)


@triton.jit
def _wide_dot(x, one, other, wanted, d, stride_d, TOKENS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Dot products of rows in float64, where ``wanted``."""
    total = tl.zeros([TOKENS], tl.float64)
    for first in range(0, d, CHANNELS):
        channel = first + tl.arange(0, CHANNELS)
        at = (channel.to(tl.int64) * stride_d)[None, :]
        mask = wanted[:, None] & (channel < d)[None, :]
        # By bits: Triton's own conversion of bfloat16 loses subnormal numbers in the interpreter.
        a = wide(tl.load(x + one[:, None] + at, mask=mask, other=0.0)).to(tl.float64)
        b = wide(tl.load(x + other[:, None] + at, mask=mask, other=0.0)).to(tl.float64)
        total += tl.sum(a * b, 1)
    return total


@triton.jit
def _sum_of_parts(sums, at, wanted, n, PARTS: tl.constexpr):  # type: ignore[no-untyped-def]
    total = tl.load(sums + at, mask=wanted, other=0.0)
    for part in tl.static_range(1, PARTS):
        total += tl.load(sums + part * 4 * tl.cast(n, tl.int64) + at, mask=wanted, other=0.0)
    return total


@triton.jit
def _exact_square(  # type: ignore[no-untyped-def]
    x, sums, node, start, wanted, n, d, stride_d, PARTS: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr
):  # fmt: skip
    """Squared norms in float64, and which ones were recomputed because float32 lost them."""
    narrow = _sum_of_parts(sums, node, wanted, n, PARTS)
    exact = narrow.to(tl.float64)
    redo = wanted & ~is_safe(narrow)
    if tl.sum(redo.to(tl.int32), 0) > 0:
        exact = tl.where(redo, _wide_dot(x, start, start, redo, d, stride_d, TOKENS, CHANNELS), exact)
    return exact, redo


@triton.jit(do_not_specialize=SIZES)
def _cosines(  # type: ignore[no-untyped-def]
    x, sums, norms, weights, bad, n, T, H, W, d, stride_t, stride_h, stride_w, stride_d,
    PARTS: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    node = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    inside = node < n
    start = node_offset(node, H, W, stride_t, stride_h, stride_w)
    own, own_redone = _exact_square(x, sums, node, start, inside, n, d, stride_d, PARTS, TOKENS, CHANNELS)
    first_bad = tl.min(tl.where(inside & ~(own < float("inf")), node, n), 0)
    if first_bad < n:
        tl.atomic_min(bad, first_bad)
    norm = tl.sqrt(own)
    tl.store(norms + node, norm, mask=inside)
    for family in tl.static_range(3):
        if family == 0:
            exists, step, stride = node % W + 1 < W, 1, stride_w
        elif family == 1:
            exists, step, stride = node // W % H + 1 < H, W, stride_h
        else:
            exists, step, stride = node // (W * H) + 1 < T, W * H, stride_t
        exists = inside & exists
        other, other_redone = _exact_square(
            x, sums, node + step, start + stride, exists, n, d, stride_d, PARTS, TOKENS, CHANNELS
        )
        scale = norm * tl.sqrt(other)
        dot = _sum_of_parts(sums, (family + 1) * tl.cast(n, tl.int64) + node, exists, n, PARTS).to(tl.float64)
        redo = exists & (own_redone | other_redone) & (scale > 0.0)
        if tl.sum(redo.to(tl.int32), 0) > 0:
            dot = tl.where(redo, _wide_dot(x, start, start + stride, redo, d, stride_d, TOKENS, CHANNELS), dot)
        cosine = dot / tl.where(scale > 0.0, scale, 1.0)
        cosine = tl.where(scale > 0.0, tl.minimum(tl.maximum(cosine, -1.0), 1.0), 0.0)
        tl.store(
            weights + family * tl.cast(n, tl.int64) + node,
            tl.where(exists, cosine.to(tl.float32), float("nan")),
            mask=inside,
        )


def neighbour_cosines(x: Any) -> tuple[Any, Any]:
    """Cosine similarity along the lattice edges, accumulated in float32, and the norms.

    Waits for the device once, to learn whether a token holds NaN or Inf.

    Parameters
    ----------
    x : [T, H, W, d] tensor, float32, float16 or bfloat16, any strides

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
    weights, norms, bad = issue(x)
    if int(bad) < norms.numel():
        raise bad_token(int(bad), *x.shape[1:3])
    return weights, norms


def issue(x: Any) -> tuple[Any, Any, Any]:
    """Start the work of :func:`neighbour_cosines` without waiting: weights, norms, and the first token with NaN or Inf
    ([] int32; N if there is none)."""
    T, H, W, d = x.shape
    n, strides = T * H * W, node_strides(x)
    norms = torch.empty((T, H, W), dtype=torch.float64, device=x.device)
    weights = torch.empty((3, T, H, W), dtype=torch.float32, device=x.device)
    bad = torch.empty((), dtype=torch.int32, device=x.device)
    pairs = blocks(W, 2)
    programs = blocks(blocks(T, 2 * _DEEP) * H * pairs, _RUN)
    parts = 1
    while parts < min(_PARTS, blocks(d, _CHANNELS)) and parts * programs < _PROGRAMS:
        parts *= 2
    sums = torch.empty((parts, 4, n), dtype=torch.float32, device=x.device)
    n_frames = (_RUN // (H * pairs) + 2) * 2 * _DEEP + 1
    narrow = n_frames * strides[0] + H * strides[1] + W * strides[2] + _CHANNELS * strides[3] < 1 << 31
    per = 4 if x.dtype == torch.float32 else 8
    how = (_DEEP, _RUN, _CHANNELS, per, parts, d % _CHANNELS == 0, narrow)
    launch(_products, (programs, parts), x, sums, bad, T, H, W, d, *strides, *how, num_warps=8)
    grid = (blocks(n, _TOKENS),)
    launch(_cosines, grid, x, sums, norms, weights, bad, n, T, H, W, d, *strides, parts, _TOKENS, _WIDE)
    return weights, norms, bad
