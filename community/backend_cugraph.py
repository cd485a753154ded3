"""cuGraph: connected components, Louvain and Leiden on a GPU.

Written from cuGraph 26.x's documentation and sources; not yet run on a device.
"""

from __future__ import annotations

from ctypes.util import find_library
from dataclasses import replace
from typing import Any

import numpy as np

from stgraph.community.base import COMPONENTS, BackendParams, Capabilities, missing_package
from stgraph.edges import EdgeList
from stgraph.graph_views import to_cugraph


class CugraphBackend:
    """One of cuGraph's algorithms. Its Louvain takes no seed, its Leiden takes one and has no use for it."""

    package = "cugraph"

    def __init__(self, name: str, capabilities: Capabilities) -> None:
        self.name = name
        self.capabilities = capabilities

    def unavailable(self) -> str | None:
        if find_library("cuda") is None:
            return "no CUDA driver was found on this machine (cuGraph needs an NVIDIA GPU)"
        return missing_package("cugraph", "cugraph", "cuda13")

    def labels(self, edges: EdgeList, params: BackendParams) -> np.ndarray[Any, Any]:
        import cugraph

        graph = to_cugraph(edges)
        column = "partition"
        if self.name == "cugraph-components":
            frame, column = cugraph.weakly_connected_components(graph), "labels"
        elif self.name == "cugraph-louvain":
            frame, _ = cugraph.louvain(graph, resolution=params.resolution)
        else:
            frame, _ = cugraph.leiden(graph, resolution=params.resolution, random_state=params.seed)
        labels = np.empty(edges.n_nodes, dtype=np.int64)
        labels[frame["vertex"].to_numpy()] = frame[column].to_numpy()  # rows come in no particular order
        return labels


def _modularity(deterministic: bool, ignores: tuple[str, ...]) -> Capabilities:
    return Capabilities("cuda", "modularity", weighted=True, seeded=False, deterministic=deterministic, ignores=ignores)


CUGRAPH_COMPONENTS = CugraphBackend("cugraph-components", replace(COMPONENTS, device="cuda"))
CUGRAPH_LOUVAIN = CugraphBackend("cugraph-louvain", _modularity(False, ("seed",)))
CUGRAPH_LEIDEN = CugraphBackend("cugraph-leiden", _modularity(False, ("seed",)))
