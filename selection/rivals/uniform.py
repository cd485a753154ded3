"""Uniform sampling: evenly spaced tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, Method
from stgraph.selection.reasons import SAMPLE
from stgraph.tokens import VideoTokens

AXES = ("sequence", "time", "space")


def even_places(n: int, k: int) -> Array:
    """[k] int64: k evenly spaced places of n, each in the middle of its part: floor((2i + 1) n / 2k).

    Examples
    --------
    >>> even_places(10, 3).tolist()
    [1, 5, 8]
    """
    places: Array = (2 * np.arange(k, dtype=np.int64) + 1) * n // (2 * k)
    return places


@dataclass(frozen=True, kw_only=True)
class Uniform(Method):
    """K evenly spaced tokens; the features are not read. Our own definition, not from a paper.

    Attributes
    ----------
    axis : "sequence": evenly along the token sequence; "time": ceil(K / P) evenly spaced whole frames; "space": the
        same ceil(K / T) positions in every frame. The last two thin their tokens to K by the same rule
    """

    axis: str = "sequence"

    name: ClassVar[str] = "uniform"
    paper: ClassVar[str] = "none: a baseline"
    on_gpu: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise InputError(f"axis is {self.axis!r}; it must be one of {', '.join(AXES)}")

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """``n_keep`` tokens by position alone."""
        T, P = tokens.grid.T, tokens.grid.H * tokens.grid.W
        frames, positions = np.arange(T), np.arange(P)
        if self.axis == "time":
            frames = even_places(T, -(-n_keep // P))
        elif self.axis == "space":
            positions = even_places(P, -(-n_keep // T))
        grid = (frames[:, None] * P + positions).reshape(-1)
        nodes = grid[even_places(grid.size, n_keep)]
        report = {"n_frames": int(np.unique(nodes // P).size), "n_positions": int(np.unique(nodes % P).size)}
        return Choice(nodes, SAMPLE, np.ones(n_keep), report=report)
