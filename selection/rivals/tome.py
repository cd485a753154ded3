"""Token merging (ToMe): bipartite soft matching, once, on the tokens that enter the LLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_array

from stgraph.aliases import Array
from stgraph.devices import astype, beside, is_tensor, largest_of_rows, over_positive
from stgraph.frame_work import joined
from stgraph.kernels import kernels_for
from stgraph.selection.assignment import assignment
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.method import Choice, Method, approximate
from stgraph.selection.reasons import CONTEXT, DIVERSITY
from stgraph.selection.result import merge_tensor
from stgraph.selection.rivals.divprune import check_scope
from stgraph.tokens import VideoTokens

_BLOCK = 256  # rows whose cosines to the other half are formed at a time


@dataclass(frozen=True, kw_only=True)
class ToMe(Method):
    """ToMe's bipartite soft matching (ICLR 2023, arXiv 2210.09461) at the LLM's input.

    In raster order, the tokens alternate between sets a and b. Each a points at its most similar b, and the most
    similar pairs are merged at the position of their b, as the mean of all their tokens. Rounds are repeated until K
    tokens are left; one round merges at most half of the tokens. Scores are the number of tokens merged into each kept
    one. Time is quadratic in the tokens of a set.

    Attributes
    ----------
    scope : "video": all tokens are one set; "frame": each frame is one set, with the budget spread evenly over frames
    """

    scope: str = "video"

    name: ClassVar[str] = "tome"
    paper: ClassVar[str] = "ToMe, ICLR 2023"
    on_gpu: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_scope(self.scope)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Merge until ``n_keep`` tokens are left."""
        n = tokens.grid.n_nodes
        n_sets = 1 if self.scope == "video" else tokens.grid.T
        size = n // n_sets
        stands_at, n_rounds = np.empty(n, np.int64), 0
        kept = []
        for i, count in enumerate(per_frame_counts(n_keep, n_sets).tolist()):
            if count == 0:
                stands_at[i * size : (i + 1) * size] = -1
                continue
            frames = tokens.lattice if n_sets == 1 else tokens.lattice[i]
            at, rounds = matched(frames.reshape(size, -1), count)
            stands_at[i * size : (i + 1) * size] = i * size + at
            kept.append(i * size + np.unique(at))
            n_rounds = max(n_rounds, rounds)
        nodes = np.concatenate(kept)
        members = np.flatnonzero(stands_at >= 0)
        counts = np.bincount(stands_at[members], minlength=n)
        merge = assignment(nodes, stands_at[members], members, 1 / counts[stands_at[members]], n)
        reasons = ["once on the LLM's input, not in every block of the encoder; similarity of features, not of keys"]
        return Choice(
            nodes,
            np.where(counts[nodes] > 1, CONTEXT, DIVERSITY),
            counts[nodes].astype(np.float64),
            merge=merge,
            positions="compact",
            exactness=approximate(*reasons),
            report={"n_rounds": n_rounds, "largest_merge": int(counts.max())},
        )


def matched(x: Any, n_keep: int) -> tuple[Array, int]:
    """Position of each token ([n, d]) after merging down to ``n_keep`` of them, [n] int64, and the number of rounds.

    Equal similarities go to the smaller b, and then to the smaller a.
    """
    n = x.shape[0]
    stands_at = np.arange(n)
    sums = astype(x, "float64")
    left, n_rounds = np.arange(n), 0
    while left.size > n_keep:
        a, b = left[0::2], left[1::2]
        best, similar = _most_similar(sums, a, b)
        merged = np.argsort(-similar, kind="stable")[: left.size - n_keep]
        target = np.arange(n)
        target[a[merged]] = b[best[merged]]
        _add_rows(sums, b[best[merged]], a[merged])
        stands_at = target[stands_at]
        left = np.setdiff1d(left, a[merged], assume_unique=True)
        n_rounds += 1
    return stands_at, n_rounds


def _add_rows(sums: Any, into: Array, of: Array) -> None:
    """Add the rows ``of`` to the rows ``into``, several to one in their order."""
    if not is_tensor(sums):
        np.add.at(sums, into, sums[of])
        return
    order = np.argsort(into, kind="stable")
    targets, counts = np.unique(into[order], return_counts=True)
    weights = np.ones(order.size)
    step = csr_array((weights, of[order], np.append(0, np.cumsum(counts))), shape=(targets.size, len(sums)))
    sums[beside(targets, sums)] += merge_tensor(step, sums, wide=True)


def _most_similar(sums: Any, a: Array, b: Array) -> tuple[Array, Array]:
    """For each token of ``a``, the place of its most similar one in ``b``, and their cosine (sums stand for means)."""
    from stgraph.kernels.cpu.spanning_tree import SAME
    from stgraph.kernels.cpu.threads import even_blocks, run_blocks

    cosines = kernels_for(sums, "cosines").cosines
    peaks = abs(sums)
    peaks = (peaks.amax(1) if is_tensor(sums) else peaks.max(axis=1))[:, None]
    rows = astype(over_positive(sums, peaks), "float32")

    def of_block(block: tuple[int, int]) -> tuple[Any, Any]:
        similar = cosines(rows, a[slice(*block)], b)
        similar[similar > float(SAME)] = 1
        return largest_of_rows(similar)

    blocks = even_blocks(a.size, _BLOCK)
    found = [of_block(block) for block in blocks] if is_tensor(sums) else run_blocks(of_block, blocks)
    return joined([best for best, _ in found]), joined([similar for _, similar in found])
