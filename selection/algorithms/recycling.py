"""Token recycling: tokens about to be dropped are clustered, and the means are kept (SparseVLM)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.community.density import density_peaks, peak_scores, scaled_distances
from stgraph.selection.result import wide_product


@dataclass(frozen=True, eq=False)
class Left:
    """Remaining tokens of a video, unchanged or merged.

    Attributes
    ----------
    nodes : [n] int64, ascending, their positions
    weights : [n, N] scipy.sparse.csr_array float64, each row summing to 1: the tokens each one averages
    """

    nodes: Array
    weights: Any

    @classmethod
    def all_of(cls, n: int) -> Left:
        """All ``n`` tokens, unchanged."""
        from scipy.sparse import csr_array, identity

        return cls(np.arange(n), csr_array(identity(n, format="csr")))

    @property
    def sizes(self) -> Array:
        """[n] int64: tokens merged into each."""
        found: Array = np.diff(self.weights.indptr)
        return found

    @property
    def merges(self) -> bool:
        """Whether any token is a mean of several."""
        return bool((self.sizes > 1).any())

    def over_nodes(self, rows: Array) -> Array:
        """[R, n] float64: ``rows`` ([R, N]) at the remaining tokens, averaged over merged ones."""
        found: Array = np.ascontiguousarray((self.weights @ rows.T).T)
        return found

    def features(self, x: Any, chosen: Array) -> Any:
        """[m, d] float64: the ``chosen`` ones ([m]) of features ``x`` [N, d], on the device of ``x``."""
        return wide_product(self.weights[chosen], x)

    def step(self, at: Array, weights: Any) -> Left:
        """The tokens after a merge: row i of ``weights`` ([n', n]) forms the token at the position of the at[i]-th
        one."""
        return Left(self.nodes[at], weights @ self.weights)


def staying(stays: Array) -> tuple[Array, Any]:
    """Arguments of :meth:`Left.step` that keep the tokens of ``stays`` ([n] bool) unchanged."""
    from scipy.sparse import csr_array, identity

    at = np.flatnonzero(stays)
    return at, csr_array(identity(stays.size, format="csr"))[at]


def n_recycled(n: int) -> int:
    """Number of means kept for ``n`` dropped tokens: a tenth of 30 %, rounded as in the official code."""
    return (3 * n // 10 + 1) // 10 + 1 if n else 0


def recycled(
    points_of: Callable[[Array], Any], stays: Array, scores: Array, most: int | None = None
) -> tuple[Array, Any]:
    """Arguments of :meth:`Left.step` that keep the tokens of ``stays`` ([n] bool), and cluster means of the others.

    Of the others, the ``3 n // 10 + 1`` with the highest scores are clustered by density peaks, with as many neighbours
    as clusters (``cluster_and_merge``, without its noise). A mean takes the position of its cluster's centre. Time and
    memory are quadratic in the clustered tokens.

    Parameters
    ----------
    points_of : features of chosen tokens, [m] -> [m, d] floating
    scores : [n]
    most : number of means, if not :func:`n_recycled`
    """
    from scipy.sparse import csr_array, vstack

    from stgraph.kernels.cpu.top import top_of

    gone = np.flatnonzero(~stays)
    chosen = np.flatnonzero(top_of(scores, gone, 3 * gone.size // 10 + 1))
    count = min(n_recycled(gone.size) if most is None else most, chosen.size)
    at, kept = staying(stays)
    if count == 0:
        return at, kept
    distance = scaled_distances(points_of(chosen))
    centres = density_peaks(peak_scores(distance, count), count)
    owner = distance[:, centres].argmin(axis=1)
    owner[centres] = np.arange(count)
    share = 1.0 / np.bincount(owner, minlength=count)[owner]
    means = csr_array((share, (owner, chosen)), shape=(count, stays.size))
    at = np.concatenate([at, chosen[centres]])
    order = np.argsort(at)
    weights = csr_array(vstack([kept, means], format="csr"))[order]
    weights.sort_indices()
    return at[order], weights
