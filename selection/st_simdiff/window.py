"""The window of a stream: features, graph and components of the last frames, updated per frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import FeatureError, GridError, InputError, bad_token
from stgraph.graph import FAMILIES, TokenGraph
from stgraph.grid import TokenGrid
from stgraph.kernels.cpu.edge_list import edges_above
from stgraph.kernels.cpu.forest import Forest
from stgraph.kernels.cpu.next_frame import next_frame_cosines
from stgraph.tokens import VideoTokens

_FIRST_ROOM = 16  # frames; arrays grow to the window by doubling, so that a short clip needs little memory


class Window:
    """Frames of one shape; the oldest can be dropped.

    Parameters
    ----------
    shape : (H, W, d)
    dtype : of the features
    most : maximum number of frames
    attention : whether frames come with their attention
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype[Any], most: int, attention: bool) -> None:
        H, W, _ = shape
        self.shape, self.dtype, self.attention = shape, dtype, attention
        self.n_frames = 0
        self._most = most
        # Frames first, in all of them: [room, ...].
        self._arrays: dict[str, Array] = {
            "features": np.empty((0, *shape), dtype),
            "importance": np.empty((0, H, W) if attention else (0, 0, 0), np.float32),
            "similarity": np.empty((0, 3, H, W), np.float32),
            "norms": np.empty((0, H, W), np.float64),
        }

    def check(self, frame: Array, attention: bool) -> None:
        """Raise unless a frame matches the frames before it."""
        if frame.shape != self.shape:
            raise GridError(f"frame has shape {frame.shape}; those before have {self.shape}")
        if frame.dtype != self.dtype:
            raise FeatureError(f"frame has dtype {frame.dtype}; those before have {self.dtype}")
        if attention != self.attention:
            here, before = ("with", "without") if attention else ("without", "with")
            raise InputError(f"frame comes {here} importance; those before came {before}. Give it for all, or for none")

    def add(self, frame: Array, importance: Array | None, number: int) -> None:
        """Add a frame, number ``number`` of the stream.

        Raises
        ------
        FeatureError
            it contains NaN or Inf; the window is unchanged
        InputError
            there is no memory for another frame
        """
        t, a = self.n_frames, self._arrays
        if t == len(a["features"]):
            self._grow()
        a["features"][t] = frame
        found = next_frame_cosines(a["features"][max(t - 1, 0) : t + 1], a["norms"][t - 1] if t else None)
        if isinstance(found, int):
            H, W, _ = self.shape
            raise bad_token(number * H * W + found, H, W)
        if importance is not None:
            a["importance"][t] = importance
        a["similarity"][t, 0], a["similarity"][t, 1], a["similarity"][t, 2] = found.right, found.bottom, np.nan
        a["norms"][t] = found.norms
        if t:
            a["similarity"][t - 1, 2] = found.before
        self.n_frames += 1

    def similarity(self, t: int) -> Array:
        """[3, H, W] float32: similarities of frame ``t`` to the right, below, and to the next frame; NaN where there is
        no neighbour."""
        found: Array = self._arrays["similarity"][t]
        return found

    def tokens(self, n_frames: int) -> VideoTokens:
        """The first ``n_frames`` as tokens: a view, valid until the window changes."""
        grid = TokenGrid(n_frames, *self.shape[:2])
        signals = {"importance": self._arrays["importance"][:n_frames]} if self.attention else {}
        return VideoTokens(self._arrays["features"][:n_frames], grid, signals)

    def graph(self, n_frames: int, tau_sim: float) -> TokenGraph:
        """The token graph of the first ``n_frames``, a copy."""
        similarity = np.ascontiguousarray(self._arrays["similarity"][:n_frames].swapaxes(0, 1))
        similarity[2, -1] = np.nan  # edges to a frame outside the range
        grid = TokenGrid(n_frames, *self.shape[:2])
        return TokenGraph(grid, similarity, self._arrays["norms"][:n_frames].copy(), tau_sim)

    def drop(self, n_frames: int) -> None:
        """Forget the first ``n_frames``."""
        for array in self._arrays.values():
            for t in range(n_frames, self.n_frames):  # one by one: source and target may overlap
                array[t - n_frames] = array[t]
        self.n_frames -= n_frames

    def _grow(self) -> None:
        there = len(self._arrays["features"])
        more = min(self._most, max(_FIRST_ROOM, 2 * there)) - there
        try:
            grown = {
                name: np.concatenate([array, np.empty((more, *array.shape[1:]), array.dtype)])
                for name, array in self._arrays.items()
            }
        except MemoryError:
            size = (there + more) * self._arrays["features"].dtype.itemsize * int(np.prod(self.shape))
            raise InputError(f"{there + more} frames need {size:,} bytes; pass a smaller window") from None
        self._arrays.update(grown)


class WindowComponents:
    """The connected components of a window's frames.

    Parameters
    ----------
    window : Window
    tau_sim : threshold, strict
    families : edge families used
    """

    def __init__(self, window: Window, tau_sim: float, families: tuple[str, ...]) -> None:
        self._window, self._tau = window, tau_sim
        self._right, self._bottom, self._temporal = (name in families for name in FAMILIES)
        self._forest, self._n_frames = Forest(), 0

    def follow(self) -> None:
        """Add the frames that have arrived in the window."""
        H, W, _ = self._window.shape
        for t in range(self._n_frames, self._window.n_frames):
            start = np.int32(t * H * W)
            src, dst, *_ = edges_above(
                self._window.similarity(t)[:, None], self._tau, (self._right, self._bottom, False)
            )
            self._forest.add(H * W, src + start, dst + start)
            if self._temporal and t:
                # Compared in float64, as edges_above does.
                above = self._window.similarity(t - 1)[2].reshape(-1) > np.float64(self._tau)
                here = np.flatnonzero(above).astype(np.int32) + start
                self._forest.add(0, here - np.int32(H * W), here)
        self._n_frames = self._window.n_frames

    def restart(self) -> None:
        """Start anew: a union cannot be undone when frames are dropped."""
        self._forest, self._n_frames = Forest(), 0
        self.follow()

    def labels(self) -> Array:
        """[n_frames * H * W] int32 canonical labels."""
        return self._forest.labels()
