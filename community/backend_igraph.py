"""igraph: Louvain ("multilevel") and Leiden, both on weighted modularity."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.community.base import BackendParams, Capabilities, missing_package
from stgraph.community.igraph_random import lent_generator
from stgraph.edges import EdgeList
from stgraph.graph_views import igraph_structure


class IgraphBackend:
    """One of igraph's modularity optimisers."""

    package = "igraph"
    capabilities = Capabilities(device="cpu", objective="modularity", weighted=True, seeded=True, deterministic=True)

    def __init__(self, name: str) -> None:
        self.name = name

    def unavailable(self) -> str | None:
        return missing_package("igraph", "igraph")

    def labels(self, edges: EdgeList, params: BackendParams) -> np.ndarray[Any, Any]:
        graph = igraph_structure(edges)
        weights = edges.weight.tolist()
        with lent_generator(params.seed):
            if self.name == "igraph-louvain":
                found = graph.community_multilevel(weights=weights, resolution=params.resolution)
            else:
                # Lower case: igraph accepts "Modularity" too and then forgets to normalise the resolution.
                found = graph.community_leiden(
                    objective_function="modularity", weights=weights, resolution=params.resolution, n_iterations=-1
                )
        return np.asarray(found.membership, dtype=np.int64)


IGRAPH_LOUVAIN = IgraphBackend("igraph-louvain")
IGRAPH_LEIDEN = IgraphBackend("igraph-leiden")
