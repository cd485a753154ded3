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


@triton.jit
def _place(ordered, m, a, b, inside):  # type: ignore[no-untyped-def]
    """How many of a group's members, a to b, come before member m: larger ones, and equal ones of smaller index."""
    own = tl.load(ordered + m, mask=inside, other=0.0)
    rank = m * 0
    for i in range(tl.max(b - a, 0)):
        value = tl.load(ordered + a + i, mask=a + i < b, other=0.0)
        before = (value > own) | ((value == own) & (a + i < m))
        rank += ((a + i < b) & before).to(tl.int32)
    return rank


@triton.jit(do_not_specialize=[*SIZES, "above", "below"])
def _rank(  # type: ignore[no-untyped-def]
    ordered, members, starts, counts, keep, above, below, n, n_groups, BLOCK: tl.constexpr, SHARE: tl.constexpr
):  # fmt: skip
    """Each member counts those before it. SHARE: ceil(above / below of the group) in place of ``counts``."""
    m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = m < n
    group = group_of(starts, tl.minimum(m, n - 1), n_groups)
    a, b = tl.load(starts + group).to(tl.int32), tl.load(starts + group + 1).to(tl.int32)
    rank = _place(ordered, m, a, b, inside)
    if SHARE:
        down = tl.cast(below, tl.int64)
        most = ((b - a).to(tl.int64) * tl.cast(above, tl.int64) + (down - 1)) // down
    else:
        most = tl.load(counts + group)
    kept = rank < most
    tl.store(keep + tl.load(members + m, mask=inside, other=0), kept, mask=inside)


@triton.jit(do_not_specialize=SIZES)
def _seats(ordered, members, starts, out, n, n_groups, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = m < n
    group = group_of(starts, tl.minimum(m, n - 1), n_groups)
    a, b = tl.load(starts + group).to(tl.int32), tl.load(starts + group + 1).to(tl.int32)
    rank = _place(ordered, m, a, b, inside)
    score = (b - a).to(tl.float64) / (2 * rank + 1).to(tl.float64)
    tl.store(out + tl.load(members + m, mask=inside, other=0), score, mask=inside)


@triton.jit(do_not_specialize=SIZES)
def _masked(values, mask, out, n, LOWEST: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Values where the mask is true, -inf elsewhere and nowhere else. -0.0 becomes 0.0, whatever a sort by bits
    thinks."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(values + i, mask=i < n, other=0.0)
    value = tl.where(value == 0.0, 0.0, tl.where(value < LOWEST, LOWEST, value))
    here = tl.load(mask + i, mask=i < n, other=0) != 0
    tl.store(out + i, tl.where(here, value, float("-inf")), mask=i < n)


@triton.jit(do_not_specialize=[*SIZES, "k"])
def _first_of_mask(  # type: ignore[no-untyped-def]
    order, mask, first, rank, keep, k, n, BLOCK: tl.constexpr, FIRST: tl.constexpr
):  # fmt: skip
    """The first ``k`` places of an order in which those of the mask come first. FIRST: those of ``first``, numbered by
    ``rank``, before the others."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    node = tl.load(order + i, mask=i < n, other=0)
    place = i
    if FIRST:
        before = tl.load(rank + i, mask=i < n, other=0)
        is_first = tl.load(first + node, mask=i < n, other=0) != 0
        place = tl.where(is_first, before - 1, i - before + tl.load(rank + n - 1))
    kept = (place < k) & (tl.load(mask + node, mask=i < n, other=0) != 0)
    tl.store(keep + node, kept, mask=i < n)


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
    node, group, rank = _ranked(values, members, starts)
    keep[node] = rank < counts[group]
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


def top_of_mask(values: Any, mask: Any, k: int, first: Any = None) -> Any:
    """[N] bool: the ``k`` nodes of ``mask`` ([N] bool) with the largest values; ties go to the smaller index.

    Those of ``first`` ([N] bool, all of them in ``mask``) come before the others.
    """
    n, keep, among = mask.numel(), torch.empty_like(mask), torch.empty_like(values)
    grid = (blocks(n, _BLOCK),)
    launch(_masked, grid, values, mask, among, n, torch.finfo(values.dtype).min, _BLOCK)
    order = among.sort(descending=True, stable=True).indices
    if first is None:
        launch(_first_of_mask, grid, order, mask, mask, order, keep, k, n, _BLOCK, False)
    else:
        rank = first[order].cumsum(0, dtype=torch.int32)
        launch(_first_of_mask, grid, order, mask, first, rank, keep, k, n, _BLOCK, True)
    return keep


def seat_scores(values: Any, members: Any, starts: Any) -> Any:
    """[N] float64: |g| / (2 k + 1) for the k-th largest value, from 0, of group g; among equals the smaller index comes
    first. Groups as for :func:`top_of_groups`."""
    n, n_groups = members.numel(), starts.numel() - 1
    out = torch.empty(n, dtype=torch.float64, device=values.device)
    if n <= _COUNTED:
        ordered = values.index_select(0, members)
        launch(_seats, (blocks(n, _BLOCK),), ordered, members, starts, out, n, n_groups, _BLOCK)
        return out
    node, group, rank = _ranked(values, members, starts)
    out[node] = starts.diff()[group].double() / (2 * rank + 1)
    return out


def _ranked(values: Any, members: Any, starts: Any) -> tuple[Any, Any, Any]:
    """Nodes by group and, within it, by descending value, equal ones by index; their groups and places there: [N] int64
    each."""
    # -0.0 equals 0.0, whatever a sort by bits thinks.
    order = torch.sort(values[members.long()] + 0.0, descending=True, stable=True).indices
    position = torch.arange(members.numel(), device=members.device)
    group = torch.searchsorted(starts, position, right=True) - 1
    # Stable: within a group the values stay in their order, and equal values in that of their members.
    ordered, back = torch.sort(group[order], stable=True)
    return members[order[back]].long(), ordered, position - starts[ordered]
