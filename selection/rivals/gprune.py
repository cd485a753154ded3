"""G-Prune: tokens ranked by information propagation over their frame's thresholded similarity graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.devices import astype, beside, concatenated, exp, over_positive, where
from stgraph.frame_work import each_frame, stacked
from stgraph.kernels import kernels_for
from stgraph.selection.budget import Budget, exact_ratio, per_frame_counts
from stgraph.selection.integers import check_integer
from stgraph.selection.method import Choice, Method
from stgraph.selection.reasons import REPRESENTATIVE
from stgraph.tokens import VideoTokens

TEMPERATURE = 0.03


@dataclass(frozen=True, kw_only=True)
class GPrune(Method):
    """G-Prune (AAAI 2025, arXiv 2501.02268; ``LLaVA-NeXT/llava/model/llava_arch.py``): the norms of a frame's tokens
    propagate along its similarity graph, and the tokens with the largest inflow per neighbour are kept.

    Tokens are joined where their cosine is at least ``tau``; the transition from a token to its neighbours, itself
    among them, is the softmax of cosine / 0.03. After ``steps`` transitions each token's inflow is divided by its
    number of neighbours. The budget is spread evenly over the frames. Scores are these quotients, norms scaled to a
    largest of 1 in each frame. Time and memory quadratic in the tokens of a frame.

    Attributes
    ----------
    tau : minimum cosine of neighbours, above 0
    steps : number of transitions, an integer of at least 1
    """

    tau: float = 0.5
    steps: int = 5

    name: ClassVar[str] = "gprune"
    paper: ClassVar[str] = "G-Prune, AAAI 2025"
    on_gpu: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        exact_ratio(self.tau, "tau")
        check_integer("steps", self.steps, 1)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """In each frame, keep its share of ``n_keep`` with the largest inflow."""
        from stgraph.kernels.cpu.top import top_of_groups

        T, P = tokens.grid.T, tokens.grid.H * tokens.grid.W
        counts = per_frame_counts(n_keep, T)
        x = tokens.lattice
        used = np.flatnonzero(counts)
        lattice = x if used.size == T else x[used.tolist()]
        frames = each_frame(lattice, lambda i: self._inflow(lattice[i].reshape(P, -1)))
        found = np.zeros((T, P + 1))
        found[used] = stacked(frames)
        scores, edges = found[:, :P].reshape(-1), found[:, P]
        kept = top_of_groups(scores, np.arange(T * P, dtype=np.int32), np.arange(T + 1) * P, counts)
        nodes = np.flatnonzero(kept)
        return Choice(nodes, REPRESENTATIVE, scores[nodes], report={"n_edges": int(edges.sum())})

    def _inflow(self, x: Any) -> Any:
        """[P + 1] float64: inflow of each token of a frame ([P, d]) per neighbour, then the number of neighbour
        pairs."""
        wide = astype(x, "float64")
        held = (wide * wide).sum(axis=1) ** 0.5
        held = over_positive(held, held.max().reshape(1))
        similar = kernels_for(x, "cosines").cosines(astype(x, "float32"), np.arange(len(x)))
        every = beside(np.arange(len(x)), similar)
        similar[every, every] = astype(held > 0, "float32")
        joined = similar >= float(np.float32(self.tau))
        count = astype(joined, "float64").sum(axis=1)
        degree = where(count > 1, count, 1.0)
        powers = (astype(similar, "float64") - 1) / TEMPERATURE
        flow = astype(joined, "float64") * exp(powers)
        total = flow.sum(axis=1, keepdims=True)
        flow = over_positive(flow, total)
        for _ in range(self.steps):
            held = (flow * held[:, None]).sum(axis=0)  # row by row: what ties on paper ties here
        pairs = (count.sum() - astype(joined[every, every], "float64").sum()) / 2
        return concatenated((held / degree, pairs.reshape(1)))
