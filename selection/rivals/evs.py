"""Efficient Video Sampling: the tokens least similar to the same position one frame before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.errors import InputError
from stgraph.graph import check_threshold
from stgraph.kernels import kernels_for
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.method import Choice, Method, approximate
from stgraph.selection.reasons import EVENT, SAMPLE
from stgraph.tokens import VideoTokens

FIRST_FRAME = 255.0  # the engines' stand-in for a difference; above any real one, which is at most 2


def difference_before(tokens: VideoTokens, first_frame: float) -> Array:
    """[N] float32: 1 - cosine to the same position one frame before, ``first_frame`` in the first frame.

    Raises
    ------
    FeatureError
        a token holds NaN or Inf (the first one is named)
    """
    kernels = kernels_for(tokens.lattice, "frame_similarity")
    cosine, _ = kernels.frame_cosines(tokens.lattice, np.arange(tokens.grid.T) - 1)
    difference: Array = 1 - to_host(cosine)
    difference[0] = first_frame
    return difference.reshape(-1)


@dataclass(frozen=True, kw_only=True)
class Evs(Method):
    """Efficient Video Sampling (NVIDIA, arXiv 2510.14624; vLLM ``vllm/multimodal/evs.py``): the K tokens with the
    largest 1 - cosine to the same position one frame before; first-frame tokens come before all others.

    Scores are these differences, and 255 in the first frame. The engines keep at least P tokens; here K < P keeps the
    first K tokens of the first frame.

    Attributes
    ----------
    per_frame : True spreads the budget left by the first frame evenly over the other frames, each of which keeps its
        tokens with the largest difference
    threshold : a cosine in [-1, 1] drops exactly the tokens above it, whatever the budget, and ``count`` is None; None
        lets the budget decide

    Raises
    ------
    InputError
        the threshold is not a similarity
    """

    per_frame: bool = False
    threshold: float | None = None

    name: ClassVar[str] = "evs"
    paper: ClassVar[str] = "Efficient Video Sampling, 2025"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.per_frame, (bool, np.bool_)):
            raise InputError(f"per_frame is {self.per_frame!r}; it must be True or False")
        if self.threshold is not None:
            check_threshold("threshold", self.threshold)

    @property
    def fits_budget(self) -> bool:  # type: ignore[override]
        """Whether exactly n_keep tokens are returned."""
        return self.threshold is None

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The ``n_keep`` tokens with the largest difference, first frame first."""
        from stgraph.kernels.cpu.top import top_of, top_of_groups

        difference = difference_before(tokens, FIRST_FRAME)
        T, P = tokens.grid.T, tokens.grid.H * tokens.grid.W
        reasons = []
        if self.threshold is not None:
            kept = 1 - difference <= np.float32(self.threshold)
        elif self.per_frame and n_keep > P and T > 1:
            counts = np.append(P, per_frame_counts(n_keep - P, T - 1))
            kept = top_of_groups(difference, np.arange(T * P, dtype=np.int32), np.arange(T + 1) * P, counts)
            if counts[1:].min() < counts[1:].max():
                reasons = ["some frames keep one token more than others, to meet the budget"]
        else:
            kept = top_of(difference, np.arange(difference.size), n_keep)
        nodes = np.flatnonzero(kept)
        scores = difference[nodes]
        first = nodes < P
        smallest = None if first.all() else float(scores[~first].min())
        report = {"n_first_frame": int(first.sum()), "smallest_difference": smallest}
        return Choice(nodes, np.where(first, SAMPLE, EVENT), scores, exactness=approximate(*reasons), report=report)


@dataclass(frozen=True, kw_only=True)
class Dtd(Evs):
    """Differential token drop of TimeChat-Online (arXiv 2504.17343; ``eval/qwen2_5_vl/modeling_qwen2_5_vl_DTD.py``), on
    features: :class:`Evs` with an equal share for each frame, or with a threshold.

    The first frame is kept whole if K > P, and each later frame keeps its tokens with the largest 1 - cosine to the
    same position one frame before. Scores are these differences, and 255 in the first frame.

    Attributes
    ----------
    per_frame : as in :class:`Evs`; here the default
    threshold : as in :class:`Evs`; the authors' absolute rule
    """

    per_frame: bool = True

    name: ClassVar[str] = "dtd"
    paper: ClassVar[str] = "TimeChat-Online, ACM MM 2025"
