"""graspologic-native: Leiden in Rust, small and permissively licensed."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.community.base import BackendParams, Capabilities, missing_package
from stgraph.edges import EdgeList
from stgraph.graph_views import to_scipy


class GraspologicLeiden:
    """``graspologic_native.leiden_csr`` on weighted modularity."""

    name = "graspologic-leiden"
    package = "graspologic-native"
    capabilities = Capabilities(device="cpu", objective="modularity", weighted=True, seeded=True, deterministic=True)

    def unavailable(self) -> str | None:
        return missing_package("graspologic_native", "graspologic-native", "fast")

    def labels(self, edges: EdgeList, params: BackendParams) -> np.ndarray[Any, Any]:
        import graspologic_native

        matrix = to_scipy(edges)
        _, found = graspologic_native.leiden_csr(
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int32),
            matrix.data.astype(np.float64),
            edges.n_nodes,
            resolution=params.resolution,
            use_modularity=True,
            seed=params.seed,
        )
        return np.fromiter((found[i] for i in range(edges.n_nodes)), dtype=np.int64, count=edges.n_nodes)


GRASPOLOGIC_LEIDEN = GraspologicLeiden()
