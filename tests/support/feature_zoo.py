"""Features of every shape, dtype and memory layout that callers may hand in, and the tokens between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from stgraph.grid import NEWLINE, OTHER, PATCH, SEPARATOR

Array = np.ndarray[Any, Any]

GRIDS = (
    (1, 1, 1, 1),
    (1, 1, 5, 3),
    (1, 4, 1, 8),
    (5, 1, 1, 7),
    (1, 3, 4, 16),
    (2, 1, 6, 5),
    (2, 3, 4, 8),
    (3, 3, 3, 1),
    (4, 5, 6, 13),
    (5, 2, 7, 33),
    (7, 6, 5, 64),
)
DTYPES = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


def features(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> Array:
    """Normal features around a common mean, so that cosines spread over (-1, 1) with most of them positive."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + rng.standard_normal(shape[-1])).astype(dtype)


LOOKS = ("mixed", "equal", "frames-equal", "zero", "some-zero")


def disguise(x: Array, look: str, every: int) -> None:
    """Give features [T, H, W, d] one of :data:`LOOKS`, in place; of "some-zero" each ``every``-th token is 0."""
    if look == "equal":
        x[:] = x[0, 0, 0]
    elif look == "frames-equal":
        x[:] = x[:1]
    elif look == "zero":
        x[:] = 0
    elif look == "some-zero":
        x.reshape(-1, x.shape[-1])[::every] = 0


def _in_larger(x: Array, larger: tuple[int, ...], part: tuple[slice, ...]) -> Array:
    room = np.zeros(larger, x.dtype)
    room[part] = x
    return room[part]


def _reversed(x: Array) -> Array:
    return x[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]


def _every_second_token(x: Array) -> Array:
    T, H, W, d = x.shape
    return _in_larger(x, (2 * T, 2 * H, 2 * W, d), (slice(None, None, 2), slice(1, None, 2), slice(None, None, 2)))


def _cut_from_wider_rows(x: Array) -> Array:
    return _in_larger(x, (*x.shape[:3], x.shape[3] + 3), (..., slice(2, -1)))  # type: ignore[arg-type]


def _tokens_transposed(x: Array) -> Array:
    return x.transpose(2, 0, 1, 3).copy().transpose(1, 2, 0, 3)


def _misaligned(x: Array) -> Array:
    return np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape)


def _read_only(x: Array) -> Array:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def _channels_first(x: Array) -> Array:
    return np.moveaxis(np.moveaxis(x, 3, 1).copy(), 1, 3)


def _reversed_channels(x: Array) -> Array:
    return x[..., ::-1].copy()[..., ::-1]


def _every_second_channel(x: Array) -> Array:
    return _in_larger(x, (*x.shape[:3], 2 * x.shape[3]), (..., slice(None, None, 2)))  # type: ignore[arg-type]


def _odd_stride(x: Array) -> Array:
    """Tokens a byte apart from each other: strides that are no multiple of the element size."""
    T, H, W, d = x.shape
    step = d * x.itemsize + 1
    room = np.zeros(T * H * W * step, np.uint8)
    out: Array = np.ndarray(x.shape, x.dtype, room, 0, (H * W * step, W * step, step, x.itemsize))
    out[...] = x
    return out


# The same values, each token's features side by side in memory.
ROW_LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": np.ascontiguousarray,
    "reversed": _reversed,
    "every second token": _every_second_token,
    "cut from wider rows": _cut_from_wider_rows,
    "tokens transposed": _tokens_transposed,
    "misaligned": _misaligned,
    "read-only": _read_only,
}
# The same values, features of a token apart from each other.
SCATTERED_LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "channels first": _channels_first,
    "reversed channels": _reversed_channels,
    "every second channel": _every_second_channel,
    "Fortran order": np.asfortranarray,
    "odd stride": _odd_stride,
}


def newline_per_row(T: int, H: int, W: int) -> Array:
    return np.tile(np.array([PATCH] * W + [NEWLINE], np.uint8), T * H)


def separator_per_frame(T: int, H: int, W: int) -> Array:
    return np.tile(np.array([PATCH] * (H * W) + [SEPARATOR], np.uint8), T)


def irregular(T: int, H: int, W: int) -> Array:
    """One, two, three, ... separators before the frames, and one token of another kind at the end."""
    kinds = [kind for t in range(T) for kind in [SEPARATOR] * (t + 1) + [PATCH] * (H * W)]
    return np.array([*kinds, OTHER], np.uint8)


# What stands between the patches of a sequence: (T, H, W) -> the kind of every token.
KINDS = (newline_per_row, separator_per_frame, irregular)
