"""graspologic-native: Leiden in Rust, small and permissively licensed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stgraph.community.base import BackendParams, Capabilities, missing_package
from stgraph.community.parameters import Parameter
from stgraph.edges import EdgeList
from stgraph.graph_views import to_scipy


class GraspologicLeiden:
    """``graspologic_native.leiden_csr``, with weights."""

    package = "graspologic-native"
    parameters: Mapping[str, Parameter] = {
        "iterations": Parameter(1, "passes of Leiden", least=1, most=10_000),
        "trials": Parameter(1, "runs; the best is taken", least=1, most=1_000),
        "randomness": Parameter(0.001, "randomness of the refinement", least=1e-9, most=10.0),
    }

    def __init__(self, name: str, objective: str) -> None:
        self.name = name
        self.capabilities = Capabilities(
            device="cpu", objective=objective, weighted=True, seeded=True, deterministic=True
        )

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
            use_modularity=self.capabilities.objective == "modularity",
            seed=params.seed,
            **params.options,
        )
        return np.fromiter((found[i] for i in range(edges.n_nodes)), dtype=np.int64, count=edges.n_nodes)


GRASPOLOGIC_LEIDEN = GraspologicLeiden("graspologic-leiden", "modularity")
GRASPOLOGIC_LEIDEN_CPM = GraspologicLeiden("graspologic-leiden-cpm", "cpm")
