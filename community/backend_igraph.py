"""igraph: Louvain ("multilevel") and Leiden, both on weighted modularity."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from stgraph.community.base import BackendParams, Capabilities, missing_package
from stgraph.edges import EdgeList
from stgraph.graph_views import igraph_structure

_LOCK = threading.Lock()


@contextmanager
def _private_random_state(seed: int) -> Iterator[None]:
    """igraph draws from one process-wide generator; lend it ours and give Python's ``random`` back untouched."""
    import igraph

    with _LOCK:
        igraph.set_random_number_generator(random.Random(seed))
        try:
            yield
        finally:
            igraph.set_random_number_generator(random)


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
        with _private_random_state(params.seed):
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
