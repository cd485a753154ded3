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


@triton.jit(do_not_specialize=SIZES)
def _rank(ordered, members, starts, counts, keep, n, n_groups, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Each member counts those before it: larger ones, and equal ones of smaller index."""
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
    kept = rank < tl.load(counts + group)
    tl.store(keep + tl.load(members + m, mask=inside, other=0), kept, mask=inside)


def top_of_groups(values: Any, members: Any, starts: Any, counts: Any) -> Any:
    """[N] bool: the counts[g] largest of each group g; among equals the smaller index wins.

    Parameters
    ----------
    values : [N] float32 or float64 tensor without NaN
    members, starts : the groups; members ascending within each
    counts : [n_groups] int64
    """
    n = members.numel()
    keep = torch.empty(n, dtype=torch.bool, device=values.device)
    if n <= _COUNTED:
        ordered = values[members.long()]
        launch(_rank, (blocks(n, _BLOCK),), ordered, members, starts, counts, keep, n, counts.numel(), _BLOCK)
        return keep
    order = _descending(values[members.long()])
    position = torch.arange(n, device=members.device)
    group = torch.searchsorted(starts, position, right=True) - 1
    # Stable: within a group the values stay in their order, and equal values in that of their members.
    ordered, back = torch.sort(group[order], stable=True)
    keep[members[order[back]].long()] = position - starts[ordered] < counts[ordered]
    return keep


def top_of_mask(values: Any, mask: Any, k: Any) -> Any:
    """[N] bool: the ``k`` nodes of ``mask`` ([N] bool) with the largest values; among equals the smaller index wins.
    ``k`` may be a number on the device."""
    order = _descending(values)
    among = mask[order]
    keep = torch.empty_like(mask)
    keep[order] = among & (among.cumsum(0) <= k)
    return keep


def _descending(values: Any) -> Any:
    """[N] int64: places by descending value. -0.0 equals 0.0, whatever a sort by bits thinks."""
    return torch.sort(values + 0.0, descending=True, stable=True).indices
