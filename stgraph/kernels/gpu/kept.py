"""Kept tokens and the counts of a report, from masks over all tokens. Nothing here waits for the device."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.rows import SIZES, blocks, launch

_BLOCK = 256


@triton.jit
def _store(first, second, scores, nodes, codes, out, node, place, there):  # type: ignore[no-untyped-def]
    code = (tl.load(first + node, mask=there, other=0) != 0).to(tl.uint8)
    code += (tl.load(second + node, mask=there, other=0) != 0).to(tl.uint8) * 2
    tl.store(nodes + place, node.to(tl.int64), mask=there)
    tl.store(codes + place, code, mask=there)
    tl.store(out + place, tl.load(scores + node, mask=there, other=0.0).to(tl.float32), mask=there)


@triton.jit(do_not_specialize=SIZES)
def _gather(  # type: ignore[no-untyped-def]
    kept, rank, first, second, scores, nodes, codes, out, n, most, BLOCK: tl.constexpr
):  # fmt: skip
    """Write each kept token to its place; places past the last get the first token."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = (i < n) & (tl.load(kept + i, mask=i < n, other=0) != 0)
    place = tl.load(rank + i, mask=here, other=0) - 1
    padding = (i >= tl.load(rank + n - 1)) & (i < most)
    _store(first, second, scores, nodes, codes, out, i, place, here & (place < most))
    _store(first, second, scores, nodes, codes, out, i * 0, i, padding)


@triton.jit(do_not_specialize=SIZES)
def _tally(  # type: ignore[no-untyped-def]
    a, b, c, d, labels, starts, before, out, n, n_groups, n_parts, limit, BLOCK: tl.constexpr, BEFORE: tl.constexpr
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(out, tl.sum((tl.load(a + i, mask=i < n, other=0) != 0).to(tl.int64), 0), sem="relaxed")
    tl.atomic_add(out + 1, tl.sum((tl.load(b + i, mask=i < n, other=0) != 0).to(tl.int64), 0), sem="relaxed")
    tl.atomic_add(out + 2, tl.sum((tl.load(c + i, mask=i < n, other=0) != 0).to(tl.int64), 0), sem="relaxed")
    tl.atomic_add(out + 3, tl.sum((tl.load(d + i, mask=i < n, other=0) != 0).to(tl.int64), 0), sem="relaxed")
    tl.atomic_max(out + 4, tl.max(tl.load(labels + i, mask=i < n, other=0), 0).to(tl.int64), sem="relaxed")
    size = tl.load(starts + i + 1, mask=i < n_groups, other=0) - tl.load(starts + i, mask=i < n_groups, other=0)
    tl.atomic_max(out + 5, tl.max(size, 0).to(tl.int64), sem="relaxed")
    if BEFORE:
        size = tl.load(before + i, mask=i < n_parts, other=0)
        tl.atomic_add(out + 6, tl.sum(tl.where(size > limit, size, 0), 0).to(tl.int64), sem="relaxed")


def kept_tokens(kept: Any, first: Any, second: Any, scores: Any, most: int) -> tuple[Any, Any, Any]:
    """See :func:`stgraph.kernels.cpu.kept.kept_tokens`."""
    n, device = kept.numel(), kept.device
    rank = kept.cumsum(0, dtype=torch.int32)
    nodes = torch.empty(most, dtype=torch.int64, device=device)
    codes = torch.empty(most, dtype=torch.uint8, device=device)
    out = torch.empty(most, dtype=torch.float32, device=device)
    grid = (blocks(max(n, most), _BLOCK),)
    launch(_gather, grid, kept, rank, first, second, scores.contiguous(), nodes, codes, out, n, most, _BLOCK)
    return nodes, codes, out


def tally(masks: tuple[Any, Any, Any, Any], labels: Any, starts: Any, before: Any, limit: int) -> list[Any]:
    """See :func:`stgraph.kernels.cpu.kept.tally`."""
    out = torch.zeros(7, dtype=torch.int64, device=labels.device)
    n, n_groups, n_parts = labels.numel(), starts.numel() - 1, 0 if before is None else before.numel()
    grid = (blocks(max(n, n_groups, n_parts), _BLOCK),)
    parts, counted = (labels, False) if before is None else (before, True)
    launch(_tally, grid, *masks, labels, starts, parts, out, n, n_groups, n_parts, limit, _BLOCK, counted)
    return list(out.unbind())
