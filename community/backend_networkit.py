"""networkit: Louvain (PLM), Leiden, the map equation and label propagation, on one thread, which alone is
reproducible."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from stgraph.community.base import BackendParams, Capabilities, missing_package
from stgraph.community.networkit_process import NetworkitProcess
from stgraph.community.parameters import Parameter
from stgraph.edges import EdgeList

_LOCK = threading.Lock()


@contextmanager
def _one_thread() -> Iterator[None]:
    """networkit's thread count is process-wide; it is restored afterwards."""
    import networkit

    with _LOCK:
        before = networkit.getMaxNumberOfThreads()
        networkit.setNumberOfThreads(1)
        try:
            yield
        finally:
            networkit.setNumberOfThreads(before)


class NetworkitBackend:
    """One of networkit's community methods, ``algorithm(graph, resolution)``."""

    package = "networkit"

    def __init__(self, name: str, objective: str, seeded: bool, algorithm: Callable[[Any, float], Any]) -> None:
        self.name, self._algorithm = name, algorithm
        unused = () if objective == "modularity" else ("resolution",)
        self.capabilities = Capabilities(
            device="cpu",
            objective=objective,
            weighted=True,
            seeded=seeded,
            deterministic=True,
            ignores=unused if seeded else (*unused, "seed"),
        )

    def unavailable(self) -> str | None:
        return missing_package("networkit", "networkit", "fast")

    def labels(self, edges: EdgeList, params: BackendParams) -> np.ndarray[Any, Any]:
        import networkit

        place = np.arange(edges.n_nodes)
        if self.capabilities.seeded:
            place = np.random.default_rng(params.seed).permutation(edges.n_nodes)
        ends = (place[edges.src].astype(np.uint64), place[edges.dst].astype(np.uint64))
        columns = (edges.weight.astype(np.float64), ends)
        graph = networkit.GraphFromCoo(columns, n=edges.n_nodes, weighted=True, directed=False)
        with _one_thread():
            algorithm = self._algorithm(graph, params.resolution)
            algorithm.run()
        return np.asarray(algorithm.getPartition().getVector(), dtype=np.int64)[place]


class NetworkitMapEquation:
    """Louvain's local moving on the map equation (Rosvall, Axelsson and Bergstrom 2009), in a process of its own."""

    name = "networkit-map-equation"
    package = "networkit"
    capabilities = Capabilities(
        device="cpu",
        objective="map-equation",
        weighted=True,
        seeded=True,
        deterministic=True,
        ignores=("resolution",),
    )
    parameters: Mapping[str, Parameter] = {
        "n_iterations": Parameter(32, "most passes of local moving over all nodes", least=1, most=10_000),
    }

    def __init__(self) -> None:
        self._process = NetworkitProcess()

    def unavailable(self) -> str | None:
        return missing_package("networkit", "networkit", "fast")

    def labels(self, edges: EdgeList, params: BackendParams) -> np.ndarray[Any, Any]:
        numbers = (edges.n_nodes, params.seed, params.options["n_iterations"])
        request = {
            "src": edges.src.astype(np.uint64),
            "dst": edges.dst.astype(np.uint64),
            "weight": edges.weight.astype(np.float64),
            "numbers": np.array(numbers, np.int64),
        }
        return self._process.answer(request)["labels"]


def _louvain(graph: Any, resolution: float) -> Any:
    import networkit

    return networkit.community.PLM(graph, refine=True, gamma=resolution)


def _leiden(graph: Any, resolution: float) -> Any:
    import networkit

    return networkit.community.ParallelLeiden(graph, randomize=False, gamma=resolution)


def _label_propagation(graph: Any, resolution: float) -> Any:
    import networkit

    return networkit.community.PLP(graph)


# These visit nodes in order and draw nothing from networkit's generator, whose state cannot be restored. Leiden should
# visit nodes in random order, so it sees them randomly renumbered.
NETWORKIT_LOUVAIN = NetworkitBackend("networkit-louvain", "modularity", False, _louvain)
NETWORKIT_LEIDEN = NetworkitBackend("networkit-leiden", "modularity", True, _leiden)
NETWORKIT_LABEL_PROPAGATION = NetworkitBackend(
    "networkit-label-propagation", "label-propagation", False, _label_propagation
)
NETWORKIT_MAP_EQUATION = NetworkitMapEquation()
