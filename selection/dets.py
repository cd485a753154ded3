"""ST-SimDiff's event half alone: the tokens that differ most from the frame before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, Method
from stgraph.selection.reasons import EVENT
from stgraph.selection.rivals.evs import difference_before
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class Dets(Method):
    """Difference-based event tokens (ST-SimDiff, ICLR 2026, section 4.4) under a budget instead of a threshold: the K
    tokens of largest 1 - cosine to the same position one frame before, which is 0 in the first frame.

    Scores are these differences.
    """

    name: ClassVar[str] = "dets"
    paper: ClassVar[str] = "ST-SimDiff, ICLR 2026, section 4.4"

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The ``n_keep`` tokens of largest difference."""
        from stgraph.kernels.cpu.top import top_of

        difference = difference_before(tokens, 0.0)
        nodes = np.flatnonzero(top_of(difference, np.arange(difference.size), n_keep))
        scores = difference[nodes]
        first = int(np.count_nonzero(nodes < tokens.grid.H * tokens.grid.W))
        return Choice(nodes, EVENT, scores, report={"n_first_frame": first, "smallest_difference": float(scores.min())})
