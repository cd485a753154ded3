"""igraph: Louvain ("multilevel") and Leiden on modularity, Leiden on CPM, Infomap, label propagation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stgraph.community.base import BackendParams, Capabilities, missing_package
from stgraph.community.igraph_random import lent_generator
from stgraph.community.parameters import Parameter
from stgraph.edges import EdgeList
from stgraph.graph_views import igraph_structure

_ITERATIONS = Parameter(-1, "passes of Leiden; -1 until nothing improves", least=-1, most=10_000)
_RANDOMNESS = Parameter(0.01, "randomness of the refinement (beta of igraph)", least=1e-9, most=10.0)
_LEIDEN = {"n_iterations": _ITERATIONS, "beta": _RANDOMNESS}


class IgraphBackend:
    """One of igraph's community methods: ``detect(graph, weights, params)``."""

    package = "igraph"

    def __init__(
        self,
        name: str,
        objective: str,
        detect: Callable[[Any, list[float], BackendParams], Any],
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        self.name, self._detect = name, detect
        self.parameters = {} if parameters is None else parameters
        has_resolution = objective in ("modularity", "cpm")
        self.capabilities = Capabilities(
            device="cpu",
            objective=objective,
            weighted=True,
            seeded=True,
            deterministic=True,
            ignores=() if has_resolution else ("resolution",),
        )

    def unavailable(self) -> str | None:
        return missing_package("igraph", "igraph")

    def labels(self, edges: EdgeList, params: BackendParams) -> np.ndarray[Any, Any]:
        graph = igraph_structure(edges)
        with lent_generator(params.seed):
            found = self._detect(graph, edges.weight.tolist(), params)
        return np.asarray(found.membership, dtype=np.int64)


def _louvain(graph: Any, weights: list[float], params: BackendParams) -> Any:
    return graph.community_multilevel(weights=weights, resolution=params.resolution)


def _leiden(objective: str) -> Callable[[Any, list[float], BackendParams], Any]:
    def detect(graph: Any, weights: list[float], params: BackendParams) -> Any:
        options = {"resolution": params.resolution, **params.options}
        return graph.community_leiden(objective_function=objective, weights=weights, **options)

    return detect


def _infomap(graph: Any, weights: list[float], params: BackendParams) -> Any:
    return graph.community_infomap(edge_weights=weights, **params.options)


def _label_propagation(graph: Any, weights: list[float], params: BackendParams) -> Any:
    return graph.community_label_propagation(weights=weights)


IGRAPH_LOUVAIN = IgraphBackend("igraph-louvain", "modularity", _louvain)
# Lower case: igraph also accepts "Modularity" but then does not normalise the resolution.
IGRAPH_LEIDEN = IgraphBackend("igraph-leiden", "modularity", _leiden("modularity"), _LEIDEN)
IGRAPH_LEIDEN_CPM = IgraphBackend("igraph-leiden-cpm", "cpm", _leiden("CPM"), _LEIDEN)
IGRAPH_INFOMAP = IgraphBackend(
    "igraph-infomap",
    "map-equation",
    _infomap,
    {"trials": Parameter(1, "runs; the best is taken", least=1, most=1_000)},
)
IGRAPH_LABEL_PROPAGATION = IgraphBackend("igraph-label-propagation", "label-propagation", _label_propagation)
