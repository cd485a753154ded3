"""Average pooling: the baseline of merging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype, beside, is_tensor, over_positive
from stgraph.frame_work import each_frame, stacked
from stgraph.selection.algorithms.pooled_grid import pooled_grid
from stgraph.selection.assignment import assignment
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.method import Choice, FittedMethod, approximate
from stgraph.selection.reasons import CONTEXT, DIVERSITY
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class Pool(FittedMethod):
    """Each frame pooled to the same smaller grid by adaptive means, as in UniPruneBench's and VTC-Bench's baselines.

    The grid is the largest with the frame's aspect ratio and at most K/T cells; if K < T, K evenly spaced frames become
    one token each. The rest of K goes to the tokens with the largest 1 - cosine to the mean of their cell, kept
    unchanged in addition to the means. A mean takes the position of its cell's middle token. Scores are these
    differences, 0 for a mean.

    Attributes
    ----------
    exact_count : False keeps only the means
    """

    name: ClassVar[str] = "pool"
    paper: ClassVar[str] = "none: a baseline"
    on_gpu: ClassVar[bool] = True

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The cells' means, and the tokens least similar to them."""
        from stgraph.kernels.cpu.top import top_of

        (T, H, W), n = tokens.grid.shape, tokens.grid.n_nodes
        h, w = pooled_grid(H, W, max(1, n_keep // T))
        rows, columns = _cells(H, h), _cells(W, w)
        frames = np.flatnonzero(per_frame_counts(n_keep, T)) if n_keep < T else np.arange(T)
        centre = (_middles(H, h)[:, None] * W + _middles(W, w)).reshape(-1)
        owners, members, weights = [], [], []
        for i, (a, b) in enumerate(rows):
            for j, (c, e) in enumerate(columns):
                inside = (np.arange(a, b)[:, None] * W + np.arange(c, e)).reshape(-1)
                owners.append(np.full(inside.size, centre[i * w + j]))
                members.append(inside)
                weights.append(np.full(inside.size, 1 / inside.size))
        owner, member, weight = (np.concatenate(parts) for parts in (owners, members, weights))
        start = frames[:, None] * (H * W)
        is_mean = np.zeros(n, np.bool_)
        is_mean[(start + centre).reshape(-1)] = True
        own = (_place(H, h)[:, None] * w + _place(W, w)).reshape(-1)
        scores = np.zeros(n)
        cells = assignment(np.unique(owner), owner, member, np.ones(owner.size), H * W)
        lattice = tokens.lattice[frames.tolist()] if frames.size < T else tokens.lattice
        found = each_frame(lattice, lambda t: _difference(lattice[t].reshape(H * W, -1), cells, own))
        scores.reshape(T, H * W)[frames] = stacked(found)
        scores[is_mean] = 0
        n_extra = n_keep - int(is_mean.sum()) if self.exact_count else 0
        extra = np.flatnonzero(top_of(scores, np.flatnonzero(~is_mean), n_extra))
        nodes = np.union1d(np.flatnonzero(is_mean), extra)
        merge = assignment(
            nodes,
            np.append((start + owner).reshape(-1), extra),
            np.append((start + member).reshape(-1), extra),
            np.append(np.tile(weight, frames.size), np.ones(extra.size)),
            n,
        )
        fitted = [f"{n_extra:,} tokens beside the means, to meet the budget"] if n_extra else []
        return Choice(
            nodes,
            np.where(is_mean[nodes], CONTEXT, DIVERSITY),
            scores[nodes],
            merge=merge,
            exactness=approximate(*fitted),
            report={"pooled_grid": [h, w], "n_means": int(is_mean.sum()), "n_extra": n_extra},
        )


def _cells(size: int, n: int) -> list[tuple[int, int]]:
    """Adaptive pooling's half-open ranges along one axis; adjacent ones overlap if ``n`` does not divide ``size``."""
    return [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]


def _middles(size: int, n: int) -> Array:
    """[n]: a place in each range, all distinct."""
    return (2 * np.arange(n) + 1) * size // (2 * n)


def _place(size: int, n: int) -> Array:
    """[size]: the range each place is assigned to, one of those containing it."""
    return np.arange(size) * n // size


def _difference(x: Any, cells: Any, own: Array) -> Any:
    """[P] float64: 1 - cosine of each token of a frame ([P, d]) to the mean of its cell, where they lie.

    Parameters
    ----------
    cells : [c, P] csr_array, 1 at the tokens of each cell
    own : [P], each token's cell
    """
    wide = astype(x, "float64")
    sums = (beside(cells.toarray(), wide) if is_tensor(wide) else cells) @ wide
    sums = sums[beside(own, sums)]
    scale = ((wide * wide).sum(axis=1) * (sums * sums).sum(axis=1)) ** 0.5
    return 1 - over_positive((wide * sums).sum(axis=1), scale)
