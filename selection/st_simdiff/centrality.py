"""Centrality: how typical a token is of its community (ST-SimDiff, equation 4)."""

from __future__ import annotations

from typing import Any

from stgraph.community.partition import Partition
from stgraph.errors import GridError
from stgraph.graph import TokenGraph
from stgraph.kernels import kernels_for
from stgraph.tokens import VideoTokens


def centrality(tokens: VideoTokens, graph: TokenGraph, partition: Partition) -> Any:
    """Mean cosine similarity of each token to ALL other tokens of its community, exactly and in O(N d).

    Parameters
    ----------
    tokens : VideoTokens
    graph : their token graph (its norms are used, and the weights of edges within pairs)
    partition : communities of that graph

    Returns
    -------
    [N] float32; 1 for a community of one

    Raises
    ------
    GridError
        tokens, graph and partition do not match
    """
    if not tokens.grid.n_nodes == graph.n_nodes == partition.n_nodes:
        raise GridError(
            f"tokens, graph and partition have {tokens.grid.n_nodes}, {graph.n_nodes} and {partition.n_nodes} nodes; "
            "they must come from the same video"
        )
    lattice = tokens.lattice
    members, starts = partition.slots
    return kernels_for(lattice, "centrality").group_centrality(lattice, graph.norms, members, starts, graph.similarity)
