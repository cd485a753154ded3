"""One plain read of an array, the baseline of the benchmarks."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.rows import SIZES, blocks, launch

_BLOCK = 16384


@triton.jit(do_not_specialize=SIZES)
def _read(words, out, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + tl.program_id(0), tl.sum(tl.load(words + at, mask=at < n, other=0), 0))


def plain_read(x: Any) -> Any:
    """Sums of the 4-byte words of each block, [blocks] int32: each byte of ``x`` is read once, and almost nothing
    written.

    Parameters
    ----------
    x : contiguous tensor of a multiple of 4 bytes
    """
    words = x.reshape(-1).view(torch.int32)
    out = torch.empty(blocks(words.numel(), _BLOCK), dtype=torch.int32, device=x.device)
    launch(_read, (out.numel(),), words, out, words.numel(), _BLOCK, num_warps=8)
    return out
