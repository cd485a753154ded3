"""networkx: Louvain and label propagation in pure Python, the readable reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from stgraph.community.base import BackendParams, Capabilities, missing_package
from stgraph.edges import EdgeList
from stgraph.graph_views import to_networkx


class NetworkxBackend:
    """One of networkx's community methods: ``detect(graph, params)`` gives sets of nodes."""

    package = "networkx"

    def __init__(self, name: str, objective: str, detect: Callable[[Any, BackendParams], Iterable[set[int]]]) -> None:
        self.name, self._detect = name, detect
        self.capabilities = Capabilities(
            device="cpu",
            objective=objective,
            weighted=True,
            seeded=True,
            deterministic=True,
            ignores=() if objective == "modularity" else ("resolution",),
        )

    def unavailable(self) -> str | None:
        return missing_package("networkx", "networkx")

    def labels(self, edges: EdgeList, params: BackendParams) -> np.ndarray[Any, Any]:
        labels = np.empty(edges.n_nodes, dtype=np.int64)
        for label, members in enumerate(self._detect(to_networkx(edges), params)):
            labels[list(members)] = label
        return labels


def _louvain(graph: Any, params: BackendParams) -> Iterable[set[int]]:
    import networkx

    found: Iterable[set[int]] = networkx.community.louvain_communities(
        graph, weight="weight", resolution=params.resolution, seed=params.seed
    )
    return found


def _label_propagation(graph: Any, params: BackendParams) -> Iterable[set[int]]:
    import networkx

    found: Iterable[set[int]] = networkx.community.fast_label_propagation_communities(
        graph, weight="weight", seed=params.seed
    )
    return found


NETWORKX_LOUVAIN = NetworkxBackend("networkx-louvain", "modularity", _louvain)
NETWORKX_LABEL_PROPAGATION = NetworkxBackend("networkx-label-propagation", "label-propagation", _label_propagation)
