"""Addressing of feature rows with any strides in kernels."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

# Squared norms outside this range have lost precision (or all of it) in float32 and are redone in float64.
SMALLEST: tl.constexpr = tl.constexpr(1e-30)
LARGEST: tl.constexpr = tl.constexpr(1e30)

# Numbers by whose value no kernel is compiled anew: videos differ in them.
SIZES = ["T", "H", "W", "n", "n_edges", "n_groups", "n_parts", "n_first", "most", "limit", "cap"]


@triton.jit
def node_offset(node, H, W, stride_t, stride_h, stride_w):  # type: ignore[no-untyped-def]
    """Offsets of the rows of nodes in elements; int64, since 2^31 elements are a few minutes of video."""
    w, h, t = node % W, node // W % H, node // (W * H)
    return t.to(tl.int64) * stride_t + h.to(tl.int64) * stride_h + w.to(tl.int64) * stride_w


@triton.jit
def wide(value):  # type: ignore[no-untyped-def]
    """Values in float32. bfloat16 by a shift, for which the compiler finds fewer instructions."""
    if value.dtype == tl.bfloat16:
        return (value.to(tl.uint16, bitcast=True).to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    return value.to(tl.float32)


@triton.jit
def is_safe(square):  # type: ignore[no-untyped-def]
    """Whether a squared norm in float32 is reliable; false for NaN."""
    return (square >= SMALLEST) & (square <= LARGEST)


def launch(kernel: Any, grid: tuple[int, ...], *args: Any, enable_fp_fusion: bool = True, **options: Any) -> None:
    """Launch a kernel on the device and current stream of its first argument, a tensor."""
    with torch.cuda.device_of(args[0]):
        # Multiply and add in one rounding, as Triton up to 3.9 does unasked (and 3.9 warns about).
        kernel[grid](*args, enable_fp_fusion=enable_fp_fusion, **options)


def blocks(n: int, size: int) -> int:
    """Number of blocks of ``size`` that cover n."""
    return -(-n // size)


def node_strides(x: Any) -> tuple[int, int, int, int]:
    """Strides of a [T, H, W, d] tensor in elements."""
    t, h, w, c = x.stride()
    return t, h, w, c
