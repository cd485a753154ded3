"""Mean cosine similarity of each token to all others of its group, in one streaming pass over the features."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.rows import SIZES, blocks, launch, node_offset, node_strides

_LARGE = 256  # members; larger groups are cut into blocks that programs share
_BLOCK = 128
_CHANNELS = 128  # of a row at a time: the members' parts are still in the cache when they are read again
_MEMBERS = 16


@triton.jit
def _unit(x, at, mask, norm):  # type: ignore[no-untyped-def]
    """Parts of unit features in float32. Powers of two first bring rows of extreme norm into range, exactly."""
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    up = tl.where(norm < 1e-15, 1.2676506002282294e30, 1.0)  # 2^100
    down = tl.where(norm > 1e15, 7.888609052210118e-31, 1.0)  # 2^-100
    scale = (up * down).to(tl.float32)
    inverse = tl.where(norm > 0.0, 1.0 / tl.where(norm > 0.0, norm * up * down, 1.0), 0.0).to(tl.float32)
    return value * scale[:, None] * inverse[:, None]


@triton.jit
def _sum_of_units(  # type: ignore[no-untyped-def]
    x, members, a, b, norms, channel, d, H, W, stride_t, stride_h, stride_w, stride_d,
    MEMBERS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Sum over members[a:b] of one part of their unit features, always in the same order."""
    total = tl.zeros([MEMBERS, CHANNELS], tl.float32)
    for first in range(a, b, MEMBERS):
        m = first + tl.arange(0, MEMBERS)
        node = tl.load(members + m, mask=m < b, other=0)
        norm = tl.load(norms + node, mask=m < b, other=0.0)
        start = node_offset(node, H, W, stride_t, stride_h, stride_w)
        at = start[:, None] + (channel.to(tl.int64) * stride_d)[None, :]
        total += _unit(x, at, (m < b)[:, None] & (channel < d)[None, :], norm)
    return tl.sum(total, 0)


@triton.jit
def _add_products(  # type: ignore[no-untyped-def]
    x, members, a, b, norms, total, channel, d, H, W, stride_t, stride_h, stride_w, stride_d, out,
    MEMBERS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """out[m] += unit(m) . total over one part, for m in members[a:b]. What one thread has written of ``out`` another
    may read: hence the barriers, here and below."""
    tl.debug_barrier()
    for first in range(a, b, MEMBERS):
        m = first + tl.arange(0, MEMBERS)
        node = tl.load(members + m, mask=m < b, other=0)
        norm = tl.load(norms + node, mask=m < b, other=0.0)
        start = node_offset(node, H, W, stride_t, stride_h, stride_w)
        at = start[:, None] + (channel.to(tl.int64) * stride_d)[None, :]
        unit = _unit(x, at, (m < b)[:, None] & (channel < d)[None, :], norm)
        sofar = tl.load(out + node, mask=m < b, other=0.0)
        tl.store(out + node, sofar + tl.sum(unit * total[None, :], 1), mask=m < b)


@triton.jit
def _finish(members, a, b, n, norms, out, MEMBERS: tl.constexpr):  # type: ignore[no-untyped-def]
    """out[m] = (out[m] - 1) / (n - 1), within [-1, 1]; 0 for a zero-norm token."""
    tl.debug_barrier()
    for first in range(a, b, MEMBERS):
        m = first + tl.arange(0, MEMBERS)
        node = tl.load(members + m, mask=m < b, other=0)
        norm = tl.load(norms + node, mask=m < b, other=0.0)
        mean = (tl.load(out + node, mask=m < b, other=0.0).to(tl.float64) - 1.0) / (n - 1)
        mean = tl.minimum(tl.maximum(mean, -1.0), 1.0)
        tl.store(out + node, tl.where(norm > 0.0, mean, 0.0).to(tl.float32), mask=m < b)


@triton.jit(do_not_specialize=SIZES)
def _small_groups(  # type: ignore[no-untyped-def]
    x, members, starts, norms, out, d, H, W, stride_t, stride_h, stride_w, stride_d, LARGE,
    MEMBERS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    group = tl.program_id(0)
    a, b = tl.load(starts + group).to(tl.int32), tl.load(starts + group + 1).to(tl.int32)
    n = b - a
    if n == 1:
        tl.store(out + tl.load(members + a), 1.0)
    elif n <= LARGE:
        for first in range(0, d, CHANNELS):
            channel = first + tl.arange(0, CHANNELS)
            total = _sum_of_units(
                x, members, a, b, norms, channel, d, H, W, stride_t, stride_h, stride_w, stride_d, MEMBERS, CHANNELS
            )
            _add_products(
                x, members, a, b, norms, total, channel, d, H, W, stride_t, stride_h, stride_w, stride_d, out,
                MEMBERS, CHANNELS,
            )  # fmt: skip
        _finish(members, a, b, n, norms, out, MEMBERS)
        if n == 2:  # equal by symmetry; rounding must not break the tie
            tl.debug_barrier()
            tl.store(out + tl.load(members + a + 1), tl.load(out + tl.load(members + a)))


@triton.jit(do_not_specialize=SIZES)
def _block_sums(  # type: ignore[no-untyped-def]
    x, members, starts, norms, block_group, block_first, sums, d, H, W, stride_t, stride_h, stride_w, stride_d,
    BLOCK, MEMBERS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """One part of the sum of one block of a large group."""
    block = tl.program_id(0)
    group = tl.load(block_group + block)
    if group >= 0:
        a = tl.load(starts + group).to(tl.int32) + (block - tl.load(block_first + group)) * BLOCK
        b = tl.minimum(a + BLOCK, tl.load(starts + group + 1).to(tl.int32))
        channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
        total = _sum_of_units(
            x, members, a, b, norms, channel, d, H, W, stride_t, stride_h, stride_w, stride_d, MEMBERS, CHANNELS
        )
        tl.store(sums + block.to(tl.int64) * d + channel, total, mask=channel < d)


@triton.jit(do_not_specialize=SIZES)
def _group_sums(sums, block_group, block_first, block_end, d, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The sum of a large group, in place of that of its first block; blocks are added in order, in float64."""
    block = tl.program_id(0)
    group = tl.load(block_group + block)
    if group >= 0:
        first = tl.load(block_first + group)
        if block == first:
            channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
            part = sums + first.to(tl.int64) * d + channel
            total = tl.zeros([CHANNELS], tl.float64)
            for _ in range(first, tl.load(block_end + group)):
                total += tl.load(part, mask=channel < d, other=0.0).to(tl.float64)
                part += d
            tl.store(sums + first.to(tl.int64) * d + channel, total.to(tl.float32), mask=channel < d)


@triton.jit(do_not_specialize=SIZES)
def _block_products(  # type: ignore[no-untyped-def]
    x, members, starts, norms, block_group, block_first, sums, out, d, H, W, stride_t, stride_h, stride_w, stride_d,
    BLOCK, MEMBERS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    group = tl.load(block_group + block)
    if group >= 0:
        first_block = tl.load(block_first + group)
        a = tl.load(starts + group).to(tl.int32) + (block - first_block) * BLOCK
        end = tl.load(starts + group + 1).to(tl.int32)
        b = tl.minimum(a + BLOCK, end)
        for first in range(0, d, CHANNELS):
            channel = first + tl.arange(0, CHANNELS)
            total = tl.load(sums + first_block.to(tl.int64) * d + channel, mask=channel < d, other=0.0)
            _add_products(
                x, members, a, b, norms, total, channel, d, H, W, stride_t, stride_h, stride_w, stride_d, out,
                MEMBERS, CHANNELS,
            )  # fmt: skip
        _finish(members, a, b, end - tl.load(starts + group).to(tl.int32), norms, out, MEMBERS)


def group_centrality(x: Any, norms: Any, members: Any, starts: Any) -> Any:
    """Centrality of every token in its group (ST-SimDiff, equation 4), exactly and in O(N d).

    S(a) = (u_a . sum_b u_b - u_a . u_a) / (n - 1), u being unit features: the mean cosine similarity to ALL other
    members, without an all-pairs matrix. Each part of a row is read twice in quick succession, the second time from
    cache; of large groups all of it is read twice. Sums have a fixed order: no atomics on floats, the same bits each
    time. Does not wait for the device.

    Parameters
    ----------
    x : [T, H, W, d] tensor, float32, float16 or bfloat16
    norms : [T, H, W] float64
    members, starts : as :func:`stgraph.kernels.gpu.components.group_members` returns them

    Returns
    -------
    [N] float32; 1 for a group of one; 0 for a zero-norm token
    """
    _, H, W, d = x.shape
    n, n_groups, strides = members.numel(), starts.numel() - 1, node_strides(x)
    out = torch.zeros(n, dtype=torch.float32, device=x.device)
    shape = (d, H, W, *strides)
    launch(_small_groups, (n_groups,), x, members, starts, norms, out, *shape, _LARGE, _MEMBERS, _CHANNELS)
    if n > _LARGE:
        group, first, end = _blocks_of_large(starts, n)
        grid = (group.numel(), blocks(d, _CHANNELS))
        sums = torch.empty((group.numel(), d), dtype=torch.float32, device=x.device)
        sizes = (_BLOCK, _MEMBERS, _CHANNELS)
        launch(_block_sums, grid, x, members, starts, norms, group, first, sums, *shape, *sizes)
        launch(_group_sums, grid, sums, group, first, end, d, _CHANNELS)
        launch(_block_products, grid[:1], x, members, starts, norms, group, first, sums, out, *shape, *sizes)
    return out


def _blocks_of_large(starts: Any, n: int) -> tuple[Any, Any, Any]:
    """Blocks of the large groups: the group of each ([most] int32, -1 past the last), and each group's first and end
    block ([n_groups] int32). ``most`` is their bound, so that nothing has to be read back."""
    sizes = starts.diff()
    count = torch.where(sizes > _LARGE, (sizes + (_BLOCK - 1)) // _BLOCK, 0)
    end = count.cumsum(0)
    most = n // _BLOCK + n // _LARGE
    at = torch.arange(most, device=starts.device)
    group = torch.searchsorted(end, at, right=True)
    group = torch.where(group < sizes.numel(), group, -1)
    return group.int(), (end - count).int(), end.int()
