"""networkit: parallel Louvain (PLM) and Leiden, run on one thread because only then does a seed repeat."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from stgraph.community.base import BackendParams, Capabilities, missing_package
from stgraph.edges import EdgeList

_LOCK = threading.Lock()


@contextmanager
def _one_seeded_thread(seed: int) -> Iterator[None]:
    """networkit's seed and thread count are process-wide; the thread count is given back afterwards."""
    import networkit

    with _LOCK:
        before = networkit.getMaxNumberOfThreads()
        networkit.setNumberOfThreads(1)
        networkit.setSeed(seed, False)
        try:
            yield
        finally:
            networkit.setNumberOfThreads(before)


class NetworkitBackend:
    """One of networkit's modularity optimisers."""

    package = "networkit"

    def __init__(self, name: str, seeded: bool) -> None:
        self.name = name
        self.capabilities = Capabilities(
            device="cpu",
            objective="modularity",
            weighted=True,
            seeded=seeded,
            deterministic=True,
            ignores=() if seeded else ("seed",),
        )

    def unavailable(self) -> str | None:
        return missing_package("networkit", "networkit", "fast")

    def labels(self, edges: EdgeList, params: BackendParams) -> np.ndarray[Any, Any]:
        import networkit

        columns = (edges.weight.astype(np.float64), (edges.src.astype(np.uint64), edges.dst.astype(np.uint64)))
        graph = networkit.GraphFromCoo(columns, n=edges.n_nodes, weighted=True, directed=False)
        with _one_seeded_thread(params.seed):
            if self.name == "networkit-louvain":
                algorithm = networkit.community.PLM(graph, refine=True, gamma=params.resolution)
            else:
                algorithm = networkit.community.ParallelLeiden(graph, gamma=params.resolution)
            algorithm.run()
        return np.asarray(algorithm.getPartition().getVector(), dtype=np.int64)


# On one thread PLM visits nodes in order and draws nothing.
NETWORKIT_LOUVAIN = NetworkitBackend("networkit-louvain", seeded=False)
NETWORKIT_LEIDEN = NetworkitBackend("networkit-leiden", seeded=True)
