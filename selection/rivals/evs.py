"""Efficient Video Sampling: the tokens least like the same place one frame before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, Method
from stgraph.selection.reasons import EVENT, SAMPLE
from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]

FIRST_FRAME = 255.0  # the engines' stand-in for a difference; above any real one, which is at most 2


def difference_before(tokens: VideoTokens, first_frame: float) -> Array:
    """[N] float32: 1 - cosine to the same position one frame before, ``first_frame`` in the first frame.

    Raises
    ------
    FeatureError
        a token holds NaN or Inf (the first one is named)
    """
    from stgraph.kernels.cpu.frame_similarity import frame_cosines

    cosine, _ = frame_cosines(tokens.lattice, np.arange(tokens.grid.T) - 1)
    difference = 1 - cosine
    difference[0] = first_frame
    return difference.reshape(-1)


@dataclass(frozen=True, kw_only=True)
class Evs(Method):
    """Efficient Video Sampling (NVIDIA, arXiv 2510.14624; vLLM ``vllm/multimodal/evs.py``): the K tokens of largest
    1 - cosine to the same position one frame before; those of the first frame come before all others.

    Scores are these differences, 255 in the first frame. The engines keep at least P tokens; here K < P keeps the
    first K of the first frame.
    """

    name: ClassVar[str] = "evs"
    paper: ClassVar[str] = "Efficient Video Sampling, 2025"
    checks_features: ClassVar[bool] = True

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The ``n_keep`` tokens of largest difference, the first frame first."""
        from stgraph.kernels.cpu.top import top_of

        difference = difference_before(tokens, FIRST_FRAME)
        nodes = np.flatnonzero(top_of(difference, np.arange(difference.size), n_keep))
        scores = difference[nodes]
        first = nodes < tokens.grid.H * tokens.grid.W
        smallest = None if first.all() else float(scores[~first].min())
        report = {"n_first_frame": int(first.sum()), "smallest_difference": smallest}
        return Choice(nodes, np.where(first, SAMPLE, EVENT), scores, report=report)
