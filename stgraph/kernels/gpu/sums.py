"""Float sums of consecutive values, groups and parallel edges, in a fixed order: the same bits on every run."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.components import group_members
from stgraph.kernels.gpu.rows import SIZES, blocks, launch

_BLOCK = 128


@triton.jit(do_not_specialize=SIZES)
def _segment_sums(value, starts, out, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Sums of consecutive values, each added from first to last."""
    s = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    begin = tl.load(starts + s, mask=s < n, other=0)
    length = tl.load(starts + s + 1, mask=s < n, other=0) - begin
    total = tl.zeros([BLOCK], tl.float64)
    j, longest = 0, tl.max(length, 0)
    while j < longest:
        total += tl.load(value + begin + j, mask=(s < n) & (j < length), other=0.0)
        j += 1
    tl.store(out + s, total, mask=s < n)


def segment_sums(value: Any, starts: Any) -> Any:
    """[len(starts) - 1] float64 sums of the segments of ``value``."""
    n = starts.numel() - 1
    out = torch.empty(n, dtype=torch.float64, device=value.device)
    if n:
        launch(_segment_sums, (blocks(n, _BLOCK),), value, starts, out, n, _BLOCK)
    return out


def merged_edges(row: Any, neighbour: Any, value: Any, n: int) -> tuple[Any, Any, Any, Any]:
    """Starts, rows, neighbours and weights of directed edges, sorted, with parallel edges summed."""
    key, order = torch.sort(row.long() * n + neighbour, stable=True)
    key, count = torch.unique_consecutive(key, return_counts=True)
    value = segment_sums(value[order].contiguous(), _starts_of(count))
    row = torch.div(key, max(n, 1), rounding_mode="floor")
    bounds = torch.arange(n + 1, device=key.device)
    return torch.searchsorted(row, bounds), row, key - row * n, value


def _starts_of(count: Any) -> Any:
    return torch.nn.functional.pad(count.cumsum(0), (1, 0))


def group_sums(value: Any, labels: Any, n_groups: int) -> Any:
    """[n_groups] float64 sums of ``value`` [N] by label."""
    members, starts = group_members(labels, n_groups)
    return segment_sums(value[members.long()].contiguous(), starts)
