"""Random tokens: the baseline every selector must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.method import Choice, Method
from stgraph.selection.reasons import SAMPLE
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class Random(Method):
    """K of the N tokens, drawn without replacement; the features are not read.

    Every token draws a number and the K largest are kept, so with the same seed a smaller budget keeps a subset of a
    larger one. ST-SimDiff's release (``simdiff/ran.py``) drops a fixed number of every ten consecutive tokens,
    unseeded.

    Attributes
    ----------
    seed : of the draw, an integer from 0 to 2^31 - 1
    """

    seed: int = 0

    name: ClassVar[str] = "random"
    paper: ClassVar[str] = "none: a baseline"
    on_gpu: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole = isinstance(self.seed, (int, np.integer)) and not isinstance(self.seed, bool)
        if not whole or not 0 <= self.seed < 2**31:
            raise InputError(f"seed is {self.seed!r}; it must be an integer from 0 to 2^31 - 1")

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The ``n_keep`` tokens with the largest draws."""
        return self._largest_draws(tokens.grid.n_nodes, np.array([n_keep]))

    def _largest_draws(self, n_nodes: int, counts: Array) -> Choice:
        """The counts[g] largest draws in each group of consecutive nodes, all groups of equal size."""
        from stgraph.kernels.cpu.top import top_of_groups

        draws = np.random.default_rng(self.seed).random(n_nodes)
        starts = np.arange(counts.size + 1) * (n_nodes // counts.size)
        nodes = np.flatnonzero(top_of_groups(draws, np.arange(n_nodes, dtype=np.int32), starts, counts))
        return Choice(nodes, SAMPLE, draws[nodes])


@dataclass(frozen=True, kw_only=True)
class RandomPerFrame(Random):
    """K tokens spread evenly over the frames and drawn inside each, without replacement; the features are not read.

    Attributes
    ----------
    seed : of the draw, an integer from 0 to 2^31 - 1
    """

    name: ClassVar[str] = "random-per-frame"

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """In each frame, keep its share of ``n_keep`` with the largest draws."""
        return self._largest_draws(tokens.grid.n_nodes, per_frame_counts(n_keep, tokens.grid.T))
