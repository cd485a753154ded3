"""Mean cosine similarity of each token to all others in its group, by sums over the group."""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.components import group_of
from stgraph.kernels.gpu.rows import SIZES, blocks, launch, node_offset, node_strides, wide

_LARGE = 512  # members; larger groups are cut into blocks that programs share
_BLOCK = 128
_CHANNELS = 256  # of a program
_MEMBERS = 16  # at a time
_WARPS = 4
_PROGRAMS = 512  # that share the groups
_NODES = 256


@triton.jit(do_not_specialize=SIZES)
def _rows(  # type: ignore[no-untyped-def]
    members, norms, starts, offsets, scales, inverses, of_large, n, n_groups, H, W, stride_t, stride_h, stride_w,
    ALIGNED, LARGE: tl.constexpr, BLOCK: tl.constexpr, NODES: tl.constexpr,
):  # fmt: skip
    """Start of each member's row, in units of ALIGNED elements, and the factors that scale its features to norm 1
    (powers of two first bring rows of extreme norm into range, exactly); and each large group's number of blocks."""
    m = tl.program_id(0) * NODES + tl.arange(0, NODES)
    node = tl.load(members + m, mask=m < n, other=0)
    norm = tl.load(norms + node, mask=m < n, other=0.0)
    up = tl.where(norm < 1e-15, 1.2676506002282294e30, 1.0)  # 2^100
    down = tl.where(norm > 1e15, 7.888609052210118e-31, 1.0)  # 2^-100
    inverse = tl.where(norm > 0.0, 1.0 / tl.where(norm > 0.0, norm * up * down, 1.0), 0.0)
    tl.store(offsets + m, node_offset(node, H, W, stride_t, stride_h, stride_w) // ALIGNED, mask=m < n)
    tl.store(scales + m, (up * down).to(tl.float32), mask=m < n)
    tl.store(inverses + m, inverse.to(tl.float32), mask=m < n)
    a = tl.load(starts + m, mask=m < n_groups, other=0)
    size = (tl.load(starts + m + 1, mask=m < n_groups, other=0) - a).to(tl.int32)
    tl.store(of_large + m, tl.where(size > LARGE, (size + BLOCK - 1) // BLOCK, 0), mask=m < n_groups)


@triton.jit
def _scaled(rows, m, end, channel, d, stride_d, ALIGNED: tl.constexpr, EVEN: tl.constexpr):  # type: ignore[no-untyped-def]
    """[members, channels] float32: one part of the rows, brought into range. ALIGNED tells the compiler how much it may
    read at once."""
    x, offsets, scales, _ = rows
    start = tl.load(offsets + m, mask=m < end, other=0) * ALIGNED
    at = start[:, None] + (channel * stride_d)[None, :]
    there = (m < end)[:, None]
    if not EVEN:
        there = there & (channel < d)[None, :]
    value = wide(tl.load(x + at, mask=there, other=0.0))
    return value * tl.load(scales + m, mask=m < end, other=0.0)[:, None]


@triton.jit
def _sum_of_units(  # type: ignore[no-untyped-def]
    rows, a, b, channel, d, stride_d,
    MEMBERS: tl.constexpr, CHANNELS: tl.constexpr, ALIGNED: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """Sum of one part of the unit features of members a..b, in a fixed order."""
    total = tl.zeros([MEMBERS, CHANNELS], tl.float32)
    for first in range(a, b, MEMBERS):
        m = first + tl.arange(0, MEMBERS)
        value = _scaled(rows, m, b, channel, d, stride_d, ALIGNED, EVEN)
        total += value * tl.load(rows[3] + m, mask=m < b, other=0.0)[:, None]
    return tl.sum(total, 0)


@triton.jit
def _store_products(  # type: ignore[no-untyped-def]
    rows, a, b, total, out, channel, d, stride_d,
    MEMBERS: tl.constexpr, ALIGNED: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """out[m] = unit(m) . total over one part, for members a..b."""
    for first in range(a, b, MEMBERS):
        m = first + tl.arange(0, MEMBERS)
        dot = tl.sum(_scaled(rows, m, b, channel, d, stride_d, ALIGNED, EVEN) * total[None, :], 1)
        tl.store(out + m, dot * tl.load(rows[3] + m, mask=m < b, other=0.0), mask=m < b)


@triton.jit(do_not_specialize=SIZES)
def _groups(  # type: ignore[no-untyped-def]
    x, offsets, scales, inverses, starts, out, n, n_groups, d, stride_d, LARGE,
    MEMBERS: tl.constexpr, CHANNELS: tl.constexpr, ALIGNED: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """One part of the products of groups of up to LARGE members."""
    rows = (x, offsets, scales, inverses)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS).to(tl.int64)
    out += tl.program_id(1).to(tl.int64) * n
    group = tl.program_id(0)
    a = tl.load(starts + group).to(tl.int32)
    while a < n:  # empty groups come last
        b = tl.load(starts + group + 1).to(tl.int32)
        if (b - a > 1) & (b - a <= LARGE):
            total = _sum_of_units(rows, a, b, channel, d, stride_d, MEMBERS, CHANNELS, ALIGNED, EVEN)
            _store_products(rows, a, b, total, out, channel, d, stride_d, MEMBERS, ALIGNED, EVEN)
        group = tl.minimum(group + tl.num_programs(0), n_groups)
        a = tl.load(starts + group).to(tl.int32)


@triton.jit
def _block_of_large(starts, block_end, n_groups, BLOCK):  # type: ignore[no-untyped-def]
    """(group, a, b): the members of this program's block of a large group; none past the last block."""
    block = tl.program_id(0)
    low, high = 0, n_groups  # the first group whose last block comes after this one
    while low < high:
        middle = (low + high) // 2
        if tl.load(block_end + middle) > block:
            high = middle
        else:
            low = middle + 1
    group = tl.minimum(low, n_groups - 1)
    a, end = tl.load(starts + group).to(tl.int32), tl.load(starts + group + 1).to(tl.int32)
    a += (block - tl.load(block_end + group - 1, mask=group > 0, other=0)) * BLOCK
    return group, tl.where(low < n_groups, a, end), tl.minimum(a + BLOCK, end)


@triton.jit(do_not_specialize=SIZES)
def _block_sums(  # type: ignore[no-untyped-def]
    x, offsets, scales, inverses, starts, block_end, sums, n_groups, d, stride_d, BLOCK,
    MEMBERS: tl.constexpr, CHANNELS: tl.constexpr, ALIGNED: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """One part of the sum of one block of a large group."""
    _, a, b = _block_of_large(starts, block_end, n_groups, BLOCK)
    rows = (x, offsets, scales, inverses)
    if a < b:
        channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS).to(tl.int64)
        total = _sum_of_units(rows, a, b, channel, d, stride_d, MEMBERS, CHANNELS, ALIGNED, EVEN)
        tl.store(sums + tl.program_id(0).to(tl.int64) * d + channel, total, mask=channel < d)


@triton.jit(do_not_specialize=SIZES)
def _group_sums(starts, block_end, sums, n_groups, d, BLOCK, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Sum of a large group, stored in place of its first block's; blocks are added in order, in float64."""
    group, a, b = _block_of_large(starts, block_end, n_groups, BLOCK)
    if (a < b) & (a == tl.load(starts + group)):
        channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
        first = tl.program_id(0)
        part = sums + first.to(tl.int64) * d + channel
        total = tl.zeros([CHANNELS], tl.float64)
        for _ in range(first, tl.load(block_end + group)):
            total += tl.load(part, mask=channel < d, other=0.0).to(tl.float64)
            part += d
        tl.store(sums + first.to(tl.int64) * d + channel, total.to(tl.float32), mask=channel < d)


@triton.jit(do_not_specialize=SIZES)
def _block_products(  # type: ignore[no-untyped-def]
    x, offsets, scales, inverses, starts, block_end, sums, out, n, n_groups, d, stride_d, BLOCK,
    MEMBERS: tl.constexpr, CHANNELS: tl.constexpr, ALIGNED: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """One part of the products of one block of a large group with the group's sum."""
    group, a, b = _block_of_large(starts, block_end, n_groups, BLOCK)
    rows = (x, offsets, scales, inverses)
    if a < b:
        channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS).to(tl.int64)
        out += tl.program_id(1).to(tl.int64) * n
        first = tl.program_id(0) - (a - tl.load(starts + group).to(tl.int32)) // BLOCK
        total = tl.load(sums + first.to(tl.int64) * d + channel, mask=channel < d, other=0.0)
        _store_products(rows, a, b, total, out, channel, d, stride_d, MEMBERS, ALIGNED, EVEN)


@triton.jit(do_not_specialize=SIZES)
def _means(members, starts, norms, parts, out, n, n_groups, n_parts, NODES: tl.constexpr):  # type: ignore[no-untyped-def]
    """(sum of products - 1) / (size - 1), within [-1, 1]; parts are added in order."""
    m = tl.program_id(0) * NODES + tl.arange(0, NODES)
    inside = m < n
    node = tl.load(members + m, mask=inside, other=0)
    group = group_of(starts, tl.minimum(m, n - 1), n_groups)
    a = tl.load(starts + group).to(tl.int32)
    size = tl.load(starts + group + 1).to(tl.int32) - a
    # The members of a pair are equally central by symmetry; rounding must not break the tie.
    read = tl.where(size == 2, a, m)
    total = tl.zeros([NODES], tl.float64)
    for _ in range(n_parts):
        total += tl.load(parts + read, mask=inside & (size > 1), other=0.0).to(tl.float64)
        parts += n
    mean = (total - 1.0) / tl.maximum(size - 1, 1)
    mean = tl.minimum(tl.maximum(mean, -1.0), 1.0)
    mean = tl.where(tl.load(norms + node, mask=inside, other=0.0) > 0.0, mean, 0.0)
    tl.store(out + node, tl.where(size == 1, 1.0, mean).to(tl.float32), mask=inside)


def group_centrality(x: Any, norms: Any, members: Any, starts: Any, similarity: Any = None) -> Any:
    """Centrality of every token in its group (ST-SimDiff, equation 4), exactly and in O(N d).

    S(a) = (u_a . sum_b u_b - u_a . u_a) / (n - 1), with unit features u: the mean cosine similarity to ALL other
    members, without an all-pairs matrix. Rows are read twice, in small groups the second time mostly from cache. Sums
    have a fixed order, without atomics on floats, so results are the same to the bit. Does not wait for the device.

    Parameters
    ----------
    x : [T, H, W, d] tensor, float32, float16 or bfloat16
    norms : [T, H, W] float64
    members, starts : as :func:`stgraph.kernels.gpu.components.group_members` returns them
    similarity : not used, since pairs are unknown before rows are read unless the device is waited for

    Returns
    -------
    [N] float32; 1 for a group of one; 0 for a zero-norm token
    """
    _, H, W, d = x.shape
    n, n_groups, n_parts = members.numel(), starts.numel() - 1, blocks(d, _CHANNELS)
    stride_t, stride_h, stride_w, stride_d = node_strides(x)
    offsets = torch.empty(n, dtype=torch.int64, device=x.device)
    scales, inverses, out = torch.empty((3, n), dtype=torch.float32, device=x.device)
    parts = torch.empty((n_parts, n), dtype=torch.float32, device=x.device)
    of_large = torch.empty(n_groups, dtype=torch.int32, device=x.device)
    over_nodes = (blocks(n, _NODES),)
    aligned = math.gcd(8, stride_t, stride_h, stride_w)
    where, strides = (offsets, scales, inverses), (stride_t, stride_h, stride_w)
    over_both = (blocks(max(n, n_groups), _NODES),)
    how = (aligned, _LARGE, _BLOCK, _NODES)
    launch(_rows, over_both, members, norms, starts, *where, of_large, n, n_groups, H, W, *strides, *how)
    rows, tile = (x, *where, starts), (_MEMBERS, _CHANNELS, aligned, d % _CHANNELS == 0)
    grid = (min(n_groups, _PROGRAMS), n_parts)
    launch(_groups, grid, *rows, parts, n, n_groups, d, stride_d, _LARGE, *tile, num_warps=_WARPS)
    if n > _LARGE:
        # End of each large group's blocks, and an upper bound on the number of blocks.
        end, most = of_large.cumsum(0, dtype=torch.int32), n // _BLOCK + n // _LARGE
        grid = (most, n_parts)
        sums = torch.empty((most, d), dtype=torch.float32, device=x.device)
        launch(_block_sums, grid, *rows, end, sums, n_groups, d, stride_d, _BLOCK, *tile)
        launch(_group_sums, grid, starts, end, sums, n_groups, d, _BLOCK, _CHANNELS)
        launch(_block_products, grid, *rows, end, sums, parts, n, n_groups, d, stride_d, _BLOCK, *tile)
    launch(_means, over_nodes, members, starts, norms, parts, out, n, n_groups, n_parts, _NODES)
    return out
