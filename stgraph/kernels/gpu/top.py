"""The k largest values of each group, ties to the smaller index. Nothing here waits for the device."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.components import group_of
from stgraph.kernels.gpu.rows import SIZES, blocks, launch

_BLOCK = 128
_COUNTED = 1 << 16  # nodes; members of larger graphs are not counted against each other


@triton.jit(do_not_specialize=[*SIZES, "above", "below"])
def _rank(  # type: ignore[no-untyped-def]
    ordered, members, starts, counts, keep, above, below, n, n_groups, BLOCK: tl.constexpr, SHARE: tl.constexpr
):  # fmt: skip
    """Each member counts those before it: larger ones, and equal ones with a smaller index. SHARE: ceil(above / below
    of the group) in place of ``counts``."""
    m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = m < n
    group = group_of(starts, tl.minimum(m, n - 1), n_groups)
    a, b = tl.load(starts + group).to(tl.int32), tl.load(starts + group + 1).to(tl.int32)
    own = tl.load(ordered + m, mask=inside, other=0.0)
    rank = tl.zeros([BLOCK], tl.int32)
    for i in range(tl.max(b - a, 0)):
        value = tl.load(ordered + a + i, mask=a + i < b, other=0.0)
        before = (value > own) | ((value == own) & (a + i < m))
        rank += ((a + i < b) & before).to(tl.int32)
    if SHARE:
        down = tl.cast(below, tl.int64)
        most = ((b - a).to(tl.int64) * tl.cast(above, tl.int64) + (down - 1)) // down
    else:
        most = tl.load(counts + group)
    kept = rank < most
    tl.store(keep + tl.load(members + m, mask=inside, other=0), kept, mask=inside)


@triton.jit(do_not_specialize=[*SIZES, "k"])
def _first_of_mask(order, among, rank, keep, k, n, BLOCK: tl.constexpr, READ: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = tl.load(among + i, mask=i < n, other=0) != 0
    if READ:
        most = tl.load(k)
    else:
        most = k
    kept = here & (tl.load(rank + i, mask=i < n, other=0) <= most)
    tl.store(keep + tl.load(order + i, mask=i < n, other=0), kept, mask=i < n)


def top_of_groups(values: Any, members: Any, starts: Any, counts: Any) -> Any:
    """[N] bool: the counts[g] largest of each group g; ties go to the smaller index.

    Parameters
    ----------
    values : [N] float32 or float64 tensor without NaN
    members, starts : the groups; members ascending within each
    counts : [n_groups] int64
    """
    n = members.numel()
    keep = torch.empty(n, dtype=torch.bool, device=values.device)
    if n <= _COUNTED:
        ordered = values.index_select(0, members)
        launch(
            _rank, (blocks(n, _BLOCK),), ordered, members, starts, counts, keep, 1, 1, n, counts.numel(), _BLOCK, False
        )
        return keep
    order = _descending(values[members.long()])
    position = torch.arange(n, device=members.device)
    group = torch.searchsorted(starts, position, right=True) - 1
    # Stable: within a group the values stay in their order, and equal values in that of their members.
    ordered, back = torch.sort(group[order], stable=True)
    keep[members[order[back]].long()] = position - starts[ordered] < counts[ordered]
    return keep


def top_share_of_groups(values: Any, members: Any, starts: Any, above: int, below: int) -> Any:
    """:func:`top_of_groups` of ceil(size * above / below) of each group, in 64 bits."""
    n, n_groups = members.numel(), starts.numel() - 1
    if n > _COUNTED:
        return top_of_groups(values, members, starts, (starts.diff() * above + (below - 1)) // below)
    keep, grid = torch.empty(n, dtype=torch.bool, device=values.device), (blocks(n, _BLOCK),)
    ordered = values.index_select(0, members)
    launch(_rank, grid, ordered, members, starts, starts, keep, above, below, n, n_groups, _BLOCK, True)
    return keep


def top_of_mask(values: Any, mask: Any, k: Any) -> Any:
    """[N] bool: the ``k`` nodes of ``mask`` ([N] bool) with the largest values; ties go to the smaller index. ``k`` may
    be a number on the device."""
    order = _descending(values)
    among = mask[order]
    keep, n = torch.empty_like(mask), mask.numel()
    rank, on_device = among.cumsum(0, dtype=torch.int32), isinstance(k, torch.Tensor)
    launch(_first_of_mask, (blocks(n, _BLOCK),), order, among, rank, keep, k, n, _BLOCK, on_device)
    return keep


def _descending(values: Any) -> Any:
    """[N] int64: places by descending value. -0.0 equals 0.0, unlike in a sort by bits."""
    return torch.sort(values + 0.0, descending=True, stable=True).indices
