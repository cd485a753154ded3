"""Reading feature rows inside kernels: any strides, and float16 / bfloat16 widened element by element."""

from __future__ import annotations

import platform
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import types
from numba.extending import intrinsic, overload

# Sums may be reassociated for vector units, but NaN and Inf keep their meaning: they are how bad features are found.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}


def _widens_half_in_hardware() -> bool:
    """Whether LLVM may emit float16 instructions; elsewhere it calls a routine that no JIT session provides."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    if numba.config.CPU_FEATURES is not None:
        return "+f16c" in numba.config.CPU_FEATURES
    if numba.config.CPU_NAME not in (None, "host"):
        return False
    return bool(binding.get_host_cpu_features().get("f16c", False))


HARDWARE_HALF = _widens_half_in_hardware()


def widened(builder: Any, bits: Any, stored: Any) -> Any:
    """float32 of a stored element or of a vector of them: float32 itself, float16 bits held as uint16, or bfloat16 bits
    held as int16."""
    if stored == types.float32:
        return bits

    def like(element: Any) -> Any:
        return ir.VectorType(element, bits.type.count) if isinstance(bits.type, ir.VectorType) else element

    def constant(element: Any, value: Any) -> Any:
        kind = like(element)
        return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)

    i32, f32 = ir.IntType(32), ir.FloatType()
    if stored == types.int16:
        return builder.bitcast(builder.shl(builder.zext(bits, like(i32)), constant(i32, 16)), like(f32))
    if HARDWARE_HALF:
        return builder.fpext(builder.bitcast(bits, like(ir.HalfType())), like(f32))
    # Move exponent and mantissa into place and rebias by 2^112; exact for subnormals too. Exponent 31 (Inf, NaN) is
    # mapped to the float32 exponent 255.
    word = builder.zext(bits, like(i32))
    magnitude = builder.and_(word, constant(i32, 0x7FFF))
    shifted = builder.shl(magnitude, constant(i32, 13))
    finite = builder.bitcast(builder.fmul(builder.bitcast(shifted, like(f32)), constant(f32, 2.0**112)), like(i32))
    special = builder.or_(shifted, constant(i32, 0x7F800000))
    is_special = builder.icmp_unsigned(">=", magnitude, constant(i32, 0x7C00))
    sign = builder.shl(builder.and_(word, constant(i32, 0x8000)), constant(i32, 16))
    return builder.bitcast(builder.or_(builder.select(is_special, special, finite), sign), like(f32))


@intrinsic
def widen(typing_context: Any, value: Any) -> Any:
    """:func:`widened` of one stored element."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return widened(builder, args[0], signature.args[0])

    if value in (types.float32, types.uint16, types.int16):
        return types.float32(value), codegen
    return None


def row_source(x: np.ndarray[Any, Any]) -> Any:
    """The form in which kernels read a [T, H, W, d] array.

    A tuple (flat buffer, offset, strides in elements, d) where features are contiguous along d, so that loops over a
    row vectorise; otherwise the array itself, read element by element. Never a copy.
    """
    if x.dtype != np.float32:
        x = x.view(np.uint16 if x.dtype == np.float16 else np.int16)
    strides = [s // x.itemsize for s in x.strides]
    if (x.shape[3] > 1 and strides[3] != 1) or any(s % x.itemsize for s in x.strides):
        return x
    reach = [(n - 1) * s for n, s in zip(x.shape, strides, strict=True)]
    low = sum(min(r, 0) for r in reach[:3])
    length = sum(max(r, 0) for r in reach[:3]) - low + x.shape[3]
    first = x[tuple(slice(None) if r >= 0 else slice(None, None, -1) for r in reach[:3])][0, 0, 0, :1]
    flat = np.lib.stride_tricks.as_strided(first, (length,), (x.itemsize,), writeable=False)
    return flat, -low, strides[0], strides[1], strides[2], x.shape[3]


def row(source: Any, t: int, h: int, w: int) -> Any:
    """The features of one token, as a 1-D array of stored elements (used inside kernels only)."""
    raise NotImplementedError("row() is only meaningful inside a compiled kernel")


@overload(row, inline="always")
def _row(source: Any, t: Any, h: Any, w: Any) -> Any:
    if isinstance(source, types.BaseTuple):

        def from_buffer(source: Any, t: Any, h: Any, w: Any) -> Any:
            start = source[1] + t * source[2] + h * source[3] + w * source[4]
            return source[0][start : start + source[5]]

        return from_buffer

    def from_array(source: Any, t: Any, h: Any, w: Any) -> Any:
        return source[t, h, w]

    return from_array
