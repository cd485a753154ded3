"""networkx: pure-Python Louvain, the readable reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.community.base import BackendParams, Capabilities, missing_package
from stgraph.edges import EdgeList
from stgraph.graph_views import to_networkx


class NetworkxLouvain:
    """``networkx.community.louvain_communities``."""

    name = "networkx-louvain"
    package = "networkx"
    capabilities = Capabilities(device="cpu", objective="modularity", weighted=True, seeded=True, deterministic=True)

    def unavailable(self) -> str | None:
        return missing_package("networkx", "networkx")

    def labels(self, edges: EdgeList, params: BackendParams) -> np.ndarray[Any, Any]:
        import networkx

        communities = networkx.community.louvain_communities(
            to_networkx(edges), weight="weight", resolution=params.resolution, seed=params.seed
        )
        labels = np.empty(edges.n_nodes, dtype=np.int64)
        for label, members in enumerate(communities):
            labels[list(members)] = label
        return labels


NETWORKX_LOUVAIN = NetworkxLouvain()
