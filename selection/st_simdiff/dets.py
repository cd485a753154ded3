"""DETS alone, the event half of ST-SimDiff: the tokens that differ most from the previous frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stgraph.devices import counts, full, numbers, true_places
from stgraph.graph import build_graph
from stgraph.kernels import kernels_for
from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, Method
from stgraph.selection.reasons import EVENT
from stgraph.selection.rivals.evs import difference_before
from stgraph.selection.st_simdiff.events import temporal_difference
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class Dets(Method):
    """Difference-based event tokens (ST-SimDiff, ICLR 2026, section 4.4) under a budget instead of a threshold: the K
    tokens with the largest 1 - cosine to the same position one frame before; it is 0 in the first frame.

    Scores are these differences.
    """

    name: ClassVar[str] = "dets"
    paper: ClassVar[str] = "ST-SimDiff, ICLR 2026, section 4.4"
    checks_features: ClassVar[bool] = True
    on_gpu: ClassVar[bool] = True

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The ``n_keep`` tokens with the largest difference."""
        difference = temporal_difference(build_graph(tokens)) if tokens.on_gpu else difference_before(tokens, 0.0)
        everything = full(len(difference), True, "bool", like=difference)
        nodes = true_places(kernels_for(difference, "top").top_of_mask(difference, everything, n_keep), n_keep)
        scores = difference[nodes]
        first, smallest = numbers(*counts(nodes < tokens.grid.H * tokens.grid.W), scores.min())
        return Choice(nodes, EVENT, scores, report={"n_first_frame": int(first), "smallest_difference": smallest})
