"""DivPrune: the tokens farthest from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.devices import to_host
from stgraph.errors import InputError
from stgraph.kernels import kernels_for
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.method import Choice, Method
from stgraph.selection.reasons import DIVERSITY
from stgraph.selection.rivals.unit_features import unit_tokens
from stgraph.tokens import VideoTokens

SCOPES = ("video", "frame")


def check_scope(scope: Any) -> None:
    """Raise InputError unless ``scope`` is one of :data:`SCOPES`."""
    if scope not in SCOPES:
        raise InputError(f"scope is {scope!r}; it must be one of {', '.join(SCOPES)}")


@dataclass(frozen=True, kw_only=True)
class DivPrune(Method):
    """DivPrune (arXiv 2503.02175; ``LLaVA/llava/model/llava_arch.py``): first the token whose nearest neighbour is
    farthest, then repeatedly the token farthest from all kept ones, in cosine distance.

    Scores are the distance to the tokens kept before, or for the first token to its nearest neighbour. Time is O(N^2 d)
    once plus O(K N d), memory O(N d).

    Attributes
    ----------
    scope : "video": all tokens are one set; "frame": each frame is one set, with the budget spread evenly over frames
    """

    scope: str = "video"

    name: ClassVar[str] = "divprune"
    paper: ClassVar[str] = "DivPrune, CVPR 2025"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_scope(self.scope)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """``n_keep`` tokens by farthest-first traversal."""
        farthest_first = kernels_for(tokens.lattice, "farthest").farthest_first
        n_sets = 1 if self.scope == "video" else tokens.grid.T
        sets = unit_tokens(tokens).reshape(n_sets, -1, tokens.dimension)
        distance = np.zeros(sets.shape[:2], np.float32)
        kept = np.zeros(sets.shape[:2], np.bool_)
        for i, count in enumerate(per_frame_counts(n_keep, n_sets).tolist()):
            if count:
                picks, distances = map(to_host, farthest_first(sets[i], count))
                kept[i, picks], distance[i, picks] = True, distances
        nodes = np.flatnonzero(kept)
        scores = distance.reshape(-1)[nodes]
        return Choice(nodes, DIVERSITY, scores, report={"smallest_distance": float(scores.min())})
