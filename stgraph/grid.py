"""Token positions: the T x H x W lattice, and the tokens that are not patches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stgraph.errors import FeatureError, GridError
from stgraph.spelling import Spelled

PATCH, NEWLINE, SEPARATOR, OTHER = 0, 1, 2, 3
MAX_NODES = 2**31 - 1

IntArray = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class TokenGrid(Spelled):
    """The extent of a video's patch tokens, and the kind of each visual token.

    Parameters
    ----------
    T, H, W : frames, grid height, grid width; at least 1 each
    kind : (n,) uint8 or None
        kind of each token in the sequence: 0 patch, 1 newline, 2 frame separator, 3 other. The patches, in order, are
        the lattice in raster order. None: every token is a patch.

    Raises
    ------
    GridError
        an axis below 1, more than 2^31 - 1 nodes, or a number of patches other than T*H*W

    Examples
    --------
    >>> TokenGrid(2, 3, 4).n_nodes
    24
    """

    T: int
    H: int
    W: int
    kind: np.ndarray[Any, np.dtype[np.uint8]] | None = None

    def __post_init__(self) -> None:
        for axis in ("T", "H", "W"):
            value = getattr(self, axis)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
                raise GridError(f"grid axis {axis} is {value!r}; it must be an integer of at least 1")
            object.__setattr__(self, axis, int(value))
        if self.n_nodes > MAX_NODES:
            raise GridError(f"grid {self} has {self.n_nodes:,} nodes; at most {MAX_NODES:,} fit 32-bit node ids")
        if self.kind is not None:
            kind = _checked_kind(self.kind)
            patches = int(np.count_nonzero(kind == PATCH))
            if patches != self.n_nodes:
                raise GridError(f"token kinds mark {patches:,} patches, but grid {self} has {self.n_nodes:,}")
            object.__setattr__(self, "kind", None if kind.size == patches else kind)

    @classmethod
    def from_coordinates(cls, t: Any, y: Any, x: Any, kind: Any | None = None) -> TokenGrid:
        """The grid for explicit coordinates: (n,) integers each, -1 for tokens that are not patches.

        Raises
        ------
        GridError
            the patches are not a complete lattice in raster order
        """
        t, y, x = (_integers("coordinates", a).astype(np.int64) for a in (t, y, x))
        patch = t >= 0 if kind is None else _checked_kind(kind) == PATCH
        if not t.size == y.size == x.size == patch.size or not patch.any():
            raise GridError(
                f"coordinates have {t.size}, {y.size}, {x.size} entries with {int(patch.sum())} patches; "
                "expected equal lengths and at least one patch"
            )
        T, H, W = (int(a[patch].max()) + 1 for a in (t, y, x))
        n = int(np.count_nonzero(patch))
        negative = min(int(a[patch].min()) for a in (t, y, x)) < 0
        # Check the size first: coordinates near 2^63 would overflow the node ids.
        complete = not negative and n == T * H * W
        if not complete or not np.array_equal((t[patch] * H + y[patch]) * W + x[patch], np.arange(n)):
            raise GridError(f"the {n:,} patch coordinates are not the complete {T}x{H}x{W} lattice in raster order")
        return cls(T, H, W, np.where(patch, PATCH, OTHER) if kind is None else kind)

    @property
    def n_nodes(self) -> int:
        """N = T*H*W, the number of patch tokens and graph nodes."""
        return self.T * self.H * self.W

    @property
    def n_tokens(self) -> int:
        """Number of all visual tokens, including newlines and separators."""
        return self.n_nodes if self.kind is None else int(self.kind.size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""
        return self.T, self.H, self.W

    @cached_property
    def rows(self) -> IntArray:
        """(N,) int64: the row of each patch token in the features."""
        if self.kind is None:
            return np.arange(self.n_nodes, dtype=np.int64)
        return np.flatnonzero(self.kind == PATCH)

    @cached_property
    def n_newline_rows(self) -> int:
        """The number of the T*H patch rows directly followed by a newline token."""
        if self.kind is None:
            return 0
        after = self.rows.reshape(self.shape)[:, :, -1] + 1
        inside = after[after < self.n_tokens]
        return int(np.count_nonzero(self.kind[inside] == NEWLINE))

    def with_newline_column(self) -> TokenGrid:
        """The T x H x (W+1) grid in which the newline after each row is a node like the patches.

        Raises
        ------
        GridError
            a row of patches is not directly followed by a newline token
        """
        if self.kind is None or self.n_newline_rows != self.T * self.H:
            raise GridError(
                f"newlines='in' needs a newline token after each of the {self.T * self.H} rows of grid {self}; "
                f"{self.n_newline_rows} rows have one. Use newlines='out'"
            )
        kind = self.kind.copy()
        kind[self.rows.reshape(self.shape)[:, :, -1] + 1] = PATCH
        return TokenGrid(self.T, self.H, self.W + 1, kind)

    def coordinates(self) -> tuple[IntArray, IntArray, IntArray]:
        """(t, y, x), (n,) int32 each; -1 for tokens that are not patches."""
        out = [np.full(self.n_tokens, -1, dtype=np.int32) for _ in range(3)]
        for axis, values in zip(out, np.unravel_index(np.arange(self.n_nodes), self.shape), strict=True):
            axis[self.rows] = values
        return out[0], out[1], out[2]

    def node(self, t: int, y: int, x: int) -> int:
        """Node id (t*H + y)*W + x of a lattice position."""
        whole = all(isinstance(a, (int, np.integer)) for a in (t, y, x))
        if not (whole and 0 <= t < self.T and 0 <= y < self.H and 0 <= x < self.W):
            raise GridError(f"position (t={t!r}, y={y!r}, x={x!r}) lies outside grid {self}")
        return (int(t) * self.H + int(y)) * self.W + int(x)

    @cached_property
    def row_steps(self) -> tuple[int, int, int] | None:
        """Rows from a patch to its place in the next frame, to the one below it and to the one on its right (of no
        meaning along an axis of one); None if newlines and separators do not recur evenly."""
        if self.kind is None:
            return self.H * self.W, self.W, 1
        rows = self.rows.reshape(self.shape)
        a, b, c = (int(rows.take(1, axis=i).flat[0] - rows.flat[0]) if rows.shape[i] > 1 else 0 for i in range(3))
        t, y, x = np.ogrid[: self.T, : self.H, : self.W]
        return (a, b, c) if np.array_equal(rows, rows.flat[0] + t * a + y * b + x * c) else None

    def position(self, node: int) -> tuple[int, int, int]:
        """(t, y, x) of a node id."""
        if not isinstance(node, (int, np.integer)) or not 0 <= node < self.n_nodes:
            raise GridError(f"node {node!r} lies outside grid {self} with {self.n_nodes:,} nodes")
        t, rest = divmod(int(node), self.H * self.W)
        return t, *divmod(rest, self.W)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TokenGrid)
            and self.shape == other.shape
            and np.array_equal(self.rows, other.rows)
            and self.n_tokens == other.n_tokens
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.n_tokens))  # not all that __eq__ compares, but without reading the kinds

    def __str__(self) -> str:
        return f"{self.T}x{self.H}x{self.W}"


def grid_of(shape: tuple[int, ...], grid: Any) -> TokenGrid:
    """The grid for features of ``shape``: from the shape itself, or from ``grid`` ((H, W), (T, H, W) or a TokenGrid).

    Raises
    ------
    FeatureError
        the shape needs a grid and none is given, or its rank fits no grid
    GridError
        the numbers of tokens of shape and grid differ
    """
    if grid is None:
        if len(shape) == 4:
            return TokenGrid(*shape[:3])
        raise FeatureError(
            f"features have shape {shape}; expected [T, H, W, d] (frames, height, width, dimension){_remedy(shape)}"
        )
    if len(shape) not in (2, 3, 4):
        raise FeatureError(f"features have shape {shape}; with grid= they are [T, H*W, d] or [T*H*W, d]")
    if isinstance(grid, TokenGrid):
        found = grid
    else:
        sides = tuple(grid) if isinstance(grid, (tuple, list)) else ()
        if len(sides) == 2:
            found = TokenGrid(1, *sides)
            frames = shape[0] if len(shape) > 2 else max(1, shape[0] // found.n_nodes)
            found = TokenGrid(frames, *sides)
        elif len(sides) == 3:
            found = TokenGrid(*sides)
        else:
            raise GridError(f"grid is {grid!r}; give (H, W), (T, H, W) or a TokenGrid")
    n = math.prod(shape[:-1])
    if n != found.n_tokens or (len(shape) > 2 and shape[0] != found.T):
        per_frame = f" ({shape[1]:,} in each of {shape[0]:,} frames)" if len(shape) == 3 else ""
        raise GridError(
            f"features have shape {shape}, which is {n:,} tokens{per_frame}, but grid {found} has {found.n_tokens:,}. "
            "Leave out class and register tokens (x[:, 1:]); for newlines give a TokenGrid with their kinds"
        )
    return found


def _remedy(shape: tuple[int, ...]) -> str:
    if len(shape) == 3:
        side = math.isqrt(shape[1])
        example = f", such as grid=({side}, {side})" if side * side == shape[1] else ""
        return f". If it is [T, N, d], say how the N tokens of a frame are arranged: grid=(H, W){example}"
    if len(shape) == 2:
        return ". If it is [N, d], say how the N tokens are arranged: grid=(T, H, W)"
    return ""


def _integers(name: str, values: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise GridError(f"{name} have shape {array.shape} and dtype {array.dtype}; expected [n] integers")
    return array


def _checked_kind(values: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    kind = _integers("token kinds", values)
    unknown = (kind < PATCH) | (kind > OTHER)
    if unknown.any():
        raise GridError(
            f"token {int(np.argmax(unknown))} has kind {kind[unknown][0]}; "
            "kinds are 0 patch, 1 newline, 2 separator, 3 other"
        )
    return kind.astype(np.uint8)
