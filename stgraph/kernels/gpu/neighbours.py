"""Cosine similarity of every token with its right, bottom and next-frame neighbour, in one pass over the features."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.errors import bad_token
from stgraph.kernels.gpu.rows import CHANNELS, SIZES, blocks, is_safe, launch, node_offset, node_strides, tile_of

_TOKENS = 64  # a program of the kernels that hardly ever read features
_WIDE = 16  # channels of float64 at a time, which take registers


@triton.jit(do_not_specialize=SIZES)
def _products(  # type: ignore[no-untyped-def]
    x, square, products, T, H, W, d, stride_t, stride_h, stride_w, stride_d,
    BT: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Dot products of each token of a tile with itself and its three later neighbours.

    Of the four reads of a row all but the first find it in L1, or at the tile's border in L2.
    """
    tiles_w, tiles_h = tl.cdiv(W, BW), tl.cdiv(H, BH)
    tile = tl.program_id(0)
    place = tl.arange(0, BT * BH * BW)
    w = tile % tiles_w * BW + place % BW
    h = tile // tiles_w % tiles_h * BH + place // BW % BH
    t = tile // (tiles_w * tiles_h) * BT + place // (BW * BH)
    inside = (t < T) & (h < H) & (w < W)
    right, bottom, after = inside & (w + 1 < W), inside & (h + 1 < H), inside & (t + 1 < T)
    node = (t * H + h) * W + w
    start = t.to(tl.int64) * stride_t + h.to(tl.int64) * stride_h + w.to(tl.int64) * stride_w
    s0 = tl.zeros([BT * BH * BW, CHANNELS], tl.float32)
    s1, s2, s3 = s0, s0, s0
    for first in range(0, d, CHANNELS):
        channel = first + tl.arange(0, CHANNELS)
        there = (channel < d)[None, :]
        row = x + start[:, None] + (channel.to(tl.int64) * stride_d)[None, :]
        own = tl.load(row, mask=inside[:, None] & there, other=0.0).to(tl.float32)
        s0 += own * own
        s1 += own * tl.load(row + stride_w, mask=right[:, None] & there, other=0.0).to(tl.float32)
        s2 += own * tl.load(row + stride_h, mask=bottom[:, None] & there, other=0.0).to(tl.float32)
        s3 += own * tl.load(row + stride_t, mask=after[:, None] & there, other=0.0).to(tl.float32)
    n = T * H * W
    tl.store(square + node, tl.sum(s0, 1), mask=inside)
    tl.store(products + node, tl.sum(s1, 1), mask=inside)
    tl.store(products + n + node, tl.sum(s2, 1), mask=inside)
    tl.store(products + 2 * n + node, tl.sum(s3, 1), mask=inside)


@triton.jit
def _wide_dot(x, one, other, wanted, d, stride_d, TOKENS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Dot products of rows in float64, where ``wanted``."""
    total = tl.zeros([TOKENS], tl.float64)
    for first in range(0, d, CHANNELS):
        channel = first + tl.arange(0, CHANNELS)
        at = (channel.to(tl.int64) * stride_d)[None, :]
        mask = wanted[:, None] & (channel < d)[None, :]
        # By way of float32: interpreter and compiler then widen bfloat16 alike.
        a = tl.load(x + one[:, None] + at, mask=mask, other=0.0).to(tl.float32).to(tl.float64)
        b = tl.load(x + other[:, None] + at, mask=mask, other=0.0).to(tl.float32).to(tl.float64)
        total += tl.sum(a * b, 1)
    return total


@triton.jit
def _exact_square(x, at, start, square, wanted, d, stride_d, TOKENS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Squared norms in float64, read again where float32 has lost them."""
    narrow = tl.load(square + at, mask=wanted, other=1.0)
    exact = narrow.to(tl.float64)
    redo = wanted & ~is_safe(narrow)
    if tl.sum(redo.to(tl.int32), 0) > 0:
        exact = tl.where(redo, _wide_dot(x, start, start, redo, d, stride_d, TOKENS, CHANNELS), exact)
    return exact, redo


@triton.jit(do_not_specialize=SIZES)
def _cosines(  # type: ignore[no-untyped-def]
    x, square, products, norms, weights, bad, n, T, H, W, d, stride_t, stride_h, stride_w, stride_d,
    TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    node = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    inside = node < n
    start = node_offset(node, H, W, stride_t, stride_h, stride_w)
    own, own_redone = _exact_square(x, node, start, square, inside, d, stride_d, TOKENS, CHANNELS)
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
            x, node + step, start + stride, square, exists, d, stride_d, TOKENS, CHANNELS
        )
        scale = norm * tl.sqrt(other)
        dot = tl.load(products + family * n + node, mask=exists, other=0.0).to(tl.float64)
        redo = exists & (own_redone | other_redone) & (scale > 0.0)
        if tl.sum(redo.to(tl.int32), 0) > 0:
            wide = _wide_dot(x, start, start + stride, redo, d, stride_d, TOKENS, CHANNELS)
            dot = tl.where(redo, wide, dot)
        cosine = dot / tl.where(scale > 0.0, scale, 1.0)
        cosine = tl.where(scale > 0.0, tl.minimum(tl.maximum(cosine, -1.0), 1.0), 0.0)
        value = tl.where(exists, cosine.to(tl.float32), float("nan"))
        tl.store(weights + family * n + node, value, mask=inside)


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
    """The work of :func:`neighbour_cosines` without waiting for it: weights, norms, and the first bad token ([] int32;
    N where all are good)."""
    T, H, W, d = x.shape
    n, strides = T * H * W, node_strides(x)
    square = torch.empty(n, dtype=torch.float32, device=x.device)
    products = torch.empty((3, n), dtype=torch.float32, device=x.device)
    norms = torch.empty((T, H, W), dtype=torch.float64, device=x.device)
    weights = torch.empty((3, T, H, W), dtype=torch.float32, device=x.device)
    bad = torch.full((), n, dtype=torch.int32, device=x.device)
    tile = tile_of((T, H, W))
    n_tiles = blocks(T, tile[0]) * blocks(H, tile[1]) * blocks(W, tile[2])
    launch(_products, (n_tiles,), x, square, products, T, H, W, d, *strides, *tile, CHANNELS, num_warps=8)
    grid = (blocks(n, _TOKENS),)
    launch(_cosines, grid, x, square, products, norms, weights, bad, n, T, H, W, d, *strides, _TOKENS, _WIDE)
    return weights, norms, bad
