"""The merge step of ST-SimDiff's published code, which drops the least central tokens instead of averaging."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import beside, to_host
from stgraph.errors import InputError
from stgraph.graph import TokenGraph
from stgraph.kernels import kernels_for
from stgraph.tokens import VideoTokens

_IDENTICAL = 1 - 1e-6  # mean similarity from which a community's tokens count as identical: float32 cannot tell


@dataclass(frozen=True, eq=False)
class ReleasedMerge:
    """The result of the merge step.

    Attributes
    ----------
    dropped : [N] bool
    exempted : [N] bool, events that would otherwise have been dropped
    events : [N] bool
    centrality : [N] float32, mean similarity to the other tokens of the community; 1 outside all communities
    share : u, the share of tokens to drop
    n_communities : components with an edge
    n_visited : components from which tokens were dropped
    """

    dropped: Array
    exempted: Array
    events: Array
    centrality: Array
    share: float
    n_communities: int
    n_visited: int


def released_merge(
    tokens: VideoTokens, graph: TokenGraph, tau_diff: float, retain_ratio: float, n_layers: int
) -> ReleasedMerge:
    """Drop the least central ceil(n u) tokens of each community of n tokens, except events, most similar communities
    first, until the next would raise the dropped share above u = 1 - r.

    Centrality is computed where the features lie; the rest, on a few numbers per token, in host memory.

    Parameters
    ----------
    tokens : VideoTokens
    graph : similarities, ``tau_sim``, and edge families of the communities; in host memory
    tau_diff : similarity to the frame before below which a token is an event
    retain_ratio : r, as a float: the rule is evaluated in float64 as published
    n_layers : L of the published formula; it cancels except for the last bit of u
    """
    from stgraph.kernels.cpu.components import connected_components, group_members
    from stgraph.kernels.cpu.top import top_of_groups

    n = graph.n_nodes
    similarity = _undefined_along_time(graph)
    labels, n_groups = connected_components(n, *_edges(similarity, graph))
    members, starts = group_members(labels, n_groups)
    sizes = np.diff(starts)
    x = tokens.lattice
    communities = (beside(array, x) for array in (graph.norms, members, starts))
    central = to_host(kernels_for(x, "centrality").group_centrality(x, *communities))
    events = np.zeros(n, np.bool_)
    events[n // graph.grid.T :] = (similarity[2, :-1] < np.float32(tau_diff)).reshape(-1)

    share = 1.0 - (n_layers * retain_ratio) / n_layers
    quota = np.ceil(sizes * share).astype(np.int64)
    least = ~top_of_groups(central, members, starts, sizes - quota)
    taken = np.bincount(labels[least & ~events], minlength=n_groups)
    mean = np.add.reduceat(central[members].astype(np.float64), starts[:-1]) / sizes
    mean[mean > _IDENTICAL] = 1.0
    order = np.argsort(-mean, kind="stable")  # groups are numbered by their first token
    order = order[sizes[order] > 1]
    before = np.concatenate([[0], np.cumsum(taken[order])])[:-1]
    over = (before + quota[order]) / n > share
    n_visited = int(np.argmax(over)) if over.any() else order.size
    visited = np.zeros(n_groups, np.bool_)
    visited[order[:n_visited]] = True
    least &= visited[labels]
    return ReleasedMerge(least & ~events, least & events, events, central, share, order.size, n_visited)


def final_count(n: int, merged: ReleasedMerge, retain_ratio: float, n_layers: int) -> int:
    """Number of survivors the published code finally keeps: the mean over the layers is r N if layer 0 sees all
    survivors and the other layers the kept ones.

    Raises
    ------
    InputError
        layer 0 alone costs more than the ratio allows
    """
    dropped = int(np.count_nonzero(merged.dropped))
    pruned = merged.share
    if merged.n_communities:
        left = 1 - dropped / n
        late = (n_layers * retain_ratio - left) / ((n_layers - 1) * left)
        pruned = 0.0 if late > 1 else 1 - late
    kept = round((n - dropped) * (1 - pruned))
    if pruned > 1 or kept < 1:
        raise InputError(
            f"retain ratio {retain_ratio:g} is too small for {n:,} tokens: layer 0 of {n_layers} alone sees "
            f"{n - dropped:,}, and no token would be left. Raise it, or pass reduce=False for all of these"
        )
    return kept


def _undefined_along_time(graph: TokenGraph) -> Array:
    """The graph's similarities, with temporal ones NaN at zero tokens: the published code divides by zero there and
    finds neither an edge nor an event."""
    zero = graph.norms == 0
    similarity: Array = graph.similarity
    if zero.any():
        similarity = similarity.copy()
        similarity[2, :-1][zero[:-1] | zero[1:]] = np.nan
    return similarity


def _edges(similarity: Array, graph: TokenGraph) -> tuple[Array, Array]:
    """Source and target of the edges: spatial ones above tau_sim in float32, temporal ones from tau_sim on."""
    from stgraph.kernels.cpu.edge_list import edges_above

    right, bottom, temporal = (name in graph.families for name in ("right", "bottom", "temporal"))
    above = np.float32(graph.tau_sim)
    below = np.nextafter(above, np.float32(-np.inf))
    spatial = edges_above(similarity, float(above), (right, bottom, False))
    along_time = edges_above(similarity, float(below), (False, False, temporal))
    return np.concatenate([spatial[0], along_time[0]]), np.concatenate([spatial[1], along_time[1]])
