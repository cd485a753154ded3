"""Runs of similar tokens at one position, which FrameFusion averages before and inside the language model."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype, beside, over_positive, to_host
from stgraph.frame_work import joined
from stgraph.kernels import kernels_for
from stgraph.tokens import VideoTokens

_FIRST = -2.0  # below any similarity: tokens with none before them at their position
_CHUNK = 1024  # tokens whose states are taken in float64 at a time


def to_frame_before(tokens: VideoTokens) -> Array:
    """[N] float32: cosine of each node to the same position one frame earlier, -2 in the first frame."""
    kernels = kernels_for(tokens.lattice, "frame_similarity")
    cosine, _ = kernels.frame_cosines(tokens.lattice, np.arange(tokens.grid.T) - 1)
    found: Array = to_host(cosine).reshape(-1).astype(np.float32, copy=True)
    found[: tokens.grid.H * tokens.grid.W] = _FIRST
    return found


def to_token_before(states: Any, nodes: Array, n_frame: int) -> Array:
    """[k] float32: cosine of each token to the one before it at its position, -2 where there is none; 0 beside zero.

    Parameters
    ----------
    states : [k, d], in host memory or on a GPU
    nodes : [k] int64, ascending, of a lattice with ``n_frame`` nodes per frame
    """
    order = np.argsort(nodes % n_frame, kind="stable")
    here = np.flatnonzero(np.diff(nodes[order] % n_frame) == 0) + 1
    at, before = order[here], order[here - 1]
    found = np.full(nodes.size, _FIRST, np.float32)
    cosines = []
    for start in range(0, at.size, _CHUNK):
        pair = (i[start : start + _CHUNK] for i in (at, before))
        x, y = (astype(states[beside(i, states)], "float64") for i in pair)
        cosines.append(over_positive((x * y).sum(1), ((x * x).sum(1) * (y * y).sum(1)) ** 0.5))
    if cosines:
        found[at] = joined(cosines)
    return found


def difference(similarity: Array) -> Array:
    """[k] float64: 1 - similarity to the token before, 2 where there is none."""
    return np.where(similarity == _FIRST, 2.0, 1.0 - similarity.astype(np.float64))


def most_similar(similarity: Array, count: int) -> Array:
    """[k] bool: the ``count`` tokens most similar to the one before, ties to the smaller index."""
    from stgraph.kernels.cpu.top import top_of

    return top_of(similarity, np.flatnonzero(similarity != _FIRST), count)


def taken_by_the_authors(similarity: Array, tau: float, share: Fraction | float) -> tuple[Array, bool]:
    """The tokens that a merge takes ([k] bool), and whether ``share`` of all is reached, so that nothing follows.

    All tokens that reach ``tau`` if they are less than the share, otherwise the int(share k) most similar ones.
    """
    reaching = similarity >= np.float32(tau)
    if Fraction(int(np.count_nonzero(reaching)), similarity.size) < share:
        return reaching, False
    return most_similar(similarity, int(share * similarity.size)), True


def runs(nodes: Array, n_frame: int, taken: Array) -> tuple[Array, Any]:
    """First tokens of the runs, ascending, and the [k', k] scipy.sparse.csr_array that averages each run.

    Parameters
    ----------
    nodes : [k] int64, ascending, of a lattice with ``n_frame`` nodes per frame taken : [k] bool: whether a token is
        merged into the one before it at its position
    """
    from scipy.sparse import csr_array

    from stgraph.kernels.cpu.components import group_members

    order = np.argsort(nodes % n_frame, kind="stable")
    start = np.maximum.accumulate(np.where(taken[order], 0, np.arange(nodes.size)))
    head = np.empty(nodes.size, np.int64)
    head[order] = order[start]
    label = (np.cumsum(~taken) - 1).astype(np.int32)
    members, starts = group_members(label[head], int(np.count_nonzero(~taken)))
    lengths = np.diff(starts)
    weights = np.repeat(1.0 / lengths, lengths).astype(np.float32)
    return nodes[~taken], csr_array((weights, members.astype(np.int64), starts), shape=(lengths.size, nodes.size))


def edges_report(similarity: Array, taken: Array, lengths: Array, tau: float) -> dict[str, Any]:
    """Report of a merge: ``lengths`` ([k']) are the tokens per run."""
    merged = similarity[taken]
    return {
        "n_merged_edges": int(merged.size),
        "n_edges_reaching_tau": int(np.count_nonzero(similarity >= np.float32(tau))),
        "n_merged_below_tau": int(np.count_nonzero(merged < np.float32(tau))),
        "lowest_merged_similarity": float(merged.min()) if merged.size else None,
        "n_runs": int(np.count_nonzero(lengths > 1)),
        "longest_run": int(lengths.max()),
    }
