"""FrameFusion: averaging of similar temporal neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.graph import check_threshold
from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, FittedMethod
from stgraph.selection.reasons import CONTEXT, DIVERSITY
from stgraph.selection.rivals.framefusion_runs import (
    difference,
    edges_report,
    most_similar,
    runs,
    taken_by_the_authors,
    to_frame_before,
)
from stgraph.tokens import VideoTokens

_LAYERS = 28  # the authors' constant; it cancels except in the last bit of the ratio


@dataclass(frozen=True, kw_only=True)
class FrameFusion(FittedMethod):
    """FrameFusion's merge stage (arXiv 2501.01986, ``framefusion/main.py``): the most similar temporal edges are taken,
    and every run of taken edges at one position is averaged into its first token.

    ``scores`` are 1 - cosine to the frame before, and 2, more than any other, in the first frame, which is never merged
    away.

    Attributes
    ----------
    budget : how many tokens to keep
    exact_count : False merges by the authors' rule, in which the features alone determine the count
    tau : minimum similarity at which the authors' rule merges; with a budget, edges below it are also merged if needed,
        and the report states how many

    Raises
    ------
    InputError
        tau is not a similarity
    """

    tau: float = 0.6

    name: ClassVar[str] = "framefusion"
    paper: ClassVar[str] = "FrameFusion, ICCV 2025"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True
    newlines: ClassVar[str] = "in"

    def __post_init__(self) -> None:
        check_threshold("tau", self.tau)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Merge until ``n_keep`` tokens are left, or by the authors' rule."""
        similarity = to_frame_before(tokens)
        n, n_frame = tokens.grid.n_nodes, tokens.grid.H * tokens.grid.W
        exactness = "exact"
        if self.exact_count:
            taken = most_similar(similarity, n - max(n_keep, n_frame))
            below = int(np.count_nonzero(similarity[taken] < np.float32(self.tau)))
            if below:
                exactness = f"approximate: {below:,} of {np.count_nonzero(taken):,} merged edges lie below tau"
        else:
            ratio = float(budget.ratio(tokens.grid))
            taken, finished = taken_by_the_authors(similarity, self.tau, 1.0 - _LAYERS * ratio / _LAYERS)
            if not finished:
                exactness = "approximate: the first merge alone; the authors go on merging and pruning inside the LLM"
        nodes, merge = runs(np.arange(n), n_frame, taken)
        if n_keep < n_frame and self.exact_count:  # every position is one run, all of the same length
            nodes, merge = nodes[:n_keep], merge[:n_keep]
            exactness = f"approximate: merging alone keeps {n_frame:,} tokens, of which the first are kept"
        lengths = np.diff(merge.indptr)
        return Choice(
            nodes=nodes,
            reason=np.where(lengths > 1, CONTEXT, DIVERSITY),
            scores=difference(similarity)[nodes],
            merge=merge,
            exactness=exactness,
            report=edges_report(similarity, taken, lengths, self.tau),
        )
