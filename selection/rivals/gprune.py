"""G-Prune: tokens ranked by information propagation over their frame's thresholded similarity graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.errors import InputError
from stgraph.selection.budget import Budget, exact_ratio, per_frame_counts
from stgraph.selection.method import Choice, Method
from stgraph.selection.reasons import REPRESENTATIVE
from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]

TEMPERATURE = 0.03


@dataclass(frozen=True, kw_only=True)
class GPrune(Method):
    """G-Prune (AAAI 2025, arXiv 2501.02268; ``LLaVA-NeXT/llava/model/llava_arch.py``): the norms of a frame's tokens
    flow along its similarity graph, and the tokens that hold most per neighbour stay.

    Tokens are joined where their cosine is at least ``tau``; the transition from a token to its neighbours, itself
    among them, is the softmax of cosine / 0.03. After ``steps`` transitions each token's inflow is divided by its
    number of neighbours. The budget is spread evenly over the frames. Scores are these quotients, norms scaled to a
    largest of 1 in each frame. Time and memory quadratic in the tokens of a frame.

    Attributes
    ----------
    tau : cosine from which on two tokens are neighbours, above 0
    steps : transitions, an integer of at least 1
    """

    tau: float = 0.5
    steps: int = 5

    name: ClassVar[str] = "gprune"
    paper: ClassVar[str] = "G-Prune, AAAI 2025"
    quadratic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        exact_ratio(self.tau, "tau")
        if not isinstance(self.steps, (int, np.integer)) or isinstance(self.steps, bool) or self.steps < 1:
            raise InputError(f"steps is {self.steps!r}; it must be an integer of at least 1")

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """In each frame, its share of ``n_keep`` with the largest inflow."""
        from stgraph.kernels.cpu.threads import run_blocks
        from stgraph.kernels.cpu.top import top_of_groups

        T, P = tokens.grid.T, tokens.grid.H * tokens.grid.W
        counts = per_frame_counts(n_keep, T)
        x = tokens.lattice
        frames = run_blocks(lambda t: self._inflow(x[t].reshape(P, -1)) if counts[t] else (np.zeros(P), 0), range(T))
        scores = np.concatenate([inflow for inflow, _ in frames])
        kept = top_of_groups(scores, np.arange(T * P, dtype=np.int32), np.arange(T + 1) * P, counts)
        nodes = np.flatnonzero(kept)
        n_edges = sum(edges for _, edges in frames)
        return Choice(nodes, REPRESENTATIVE, scores[nodes], report={"n_edges": n_edges})

    def _inflow(self, x: Array) -> tuple[Array, int]:
        """[P] float64: what reaches each token of a frame ([P, d]) per neighbour, and the pairs of neighbours."""
        from stgraph.kernels.cpu.cosines import cosines

        wide = x.astype(np.float64)
        held = np.sqrt((wide * wide).sum(axis=1))
        held /= held.max() or 1.0
        similar = cosines(x.astype(np.float32), np.arange(len(x)))
        np.fill_diagonal(similar, held > 0)
        joined = similar >= np.float32(self.tau)
        degree = np.maximum(joined.sum(axis=1), 1)
        flow = np.where(joined, np.exp((similar.astype(np.float64) - 1) / TEMPERATURE), 0)
        flow /= np.maximum(flow.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        for _ in range(self.steps):
            held = (flow * held[:, None]).sum(axis=0)  # row by row: what ties on paper ties here
        return held / degree, int((joined.sum() - np.count_nonzero(np.diagonal(joined))) // 2)
