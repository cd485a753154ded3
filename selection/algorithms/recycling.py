"""Token recycling: tokens that would go are clustered, and the means stay (SparseVLM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.community.density import density_peaks, peak_scores, scaled_distances

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Left:
    """Tokens that are left of a video, as they were or merged.

    Attributes
    ----------
    nodes : [n] int64, ascending, where they stand
    weights : [n, N] scipy.sparse.csr_array float64, each row summing to 1: the tokens they are the mean of
    """

    nodes: Array
    weights: Any

    @classmethod
    def all_of(cls, n: int) -> Left:
        """All ``n`` tokens, as they are."""
        from scipy.sparse import csr_array, identity

        return cls(np.arange(n), csr_array(identity(n, format="csr")))

    @property
    def sizes(self) -> Array:
        """[n] int64: tokens merged into each."""
        found: Array = np.diff(self.weights.indptr)
        return found

    @property
    def merges(self) -> bool:
        """Whether any of them is a mean of several."""
        return bool((self.sizes > 1).any())

    def over_nodes(self, rows: Array) -> Array:
        """[R, n] float64: what ``rows`` ([R, N]) hold at the tokens left, the mean where several are merged."""
        found: Array = np.ascontiguousarray((self.weights @ rows.T).T)
        return found

    def only(self, stays: Array) -> Left:
        """Those of ``stays`` ([n] bool)."""
        at = np.flatnonzero(stays)
        return Left(self.nodes[at], self.weights[at])


def n_recycled(n: int) -> int:
    """How many means stay of ``n`` tokens that go: a tenth of 30 %, rounded as the official code rounds."""
    return (3 * n // 10 + 1) // 10 + 1 if n else 0


def recycled(left: Left, x: Array, stays: Array, scores: Array, most: int | None = None) -> Left:
    """The tokens of ``stays`` ([n] bool), and means of clusters of the others.

    Of the others, the ``3 n // 10 + 1`` of highest score are clustered by density peaks, with as many neighbours as
    clusters (``cluster_and_merge``, without its noise). A mean stands where its cluster's centre stood. Time and
    memory quadratic in the clustered tokens.

    Parameters
    ----------
    left : the tokens so far, n of them
    x : [N, d], the video's features
    scores : [n]
    most : the number of means, where not :func:`n_recycled` of them stay
    """
    from scipy.sparse import csr_array, vstack

    from stgraph.kernels.cpu.top import top_of

    gone = np.flatnonzero(~stays)
    chosen = np.flatnonzero(top_of(scores, gone, 3 * gone.size // 10 + 1))
    count = n_recycled(gone.size) if most is None else most
    count = min(count, chosen.size)
    if count == 0:
        return left.only(stays)
    members = left.weights[chosen]
    used = np.unique(members.indices)
    distance = scaled_distances(members[:, used] @ x[used].astype(np.float64))
    centres = density_peaks(peak_scores(distance, count), count)
    owner = distance[:, centres].argmin(axis=1)
    owner[centres] = np.arange(count)
    share = 1.0 / np.bincount(owner, minlength=count)[owner]
    means = csr_array((share, (owner, np.arange(chosen.size))), shape=(count, chosen.size)) @ members
    kept = left.only(stays)
    nodes = np.concatenate([kept.nodes, left.nodes[chosen[centres]]])
    order = np.argsort(nodes)
    weights = csr_array(vstack([kept.weights, means], format="csr"))[order]
    weights.sort_indices()
    return Left(nodes[order], weights)
