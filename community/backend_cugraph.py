"""cuGraph: connected components, Louvain, Leiden and ECG on a GPU, through pylibcugraph.

pylibcugraph is cuGraph's own layer below ``cugraph.Graph``. It needs neither cuDF nor Dask, and skips the checks and
sorting that ``Graph`` always does; ``detect.py`` has already checked the input. Written from the sources of cuGraph
26.10, and run with it on an H200, except for ECG, which has not been run.
"""

from __future__ import annotations

from collections.abc import Mapping
from ctypes.util import find_library
from dataclasses import replace
from typing import Any

import numpy as np

from stgraph.community.base import COMPONENTS, BackendParams, Capabilities, missing_package
from stgraph.community.parameters import Parameter
from stgraph.devices import gpu_tensor, is_tensor
from stgraph.edges import EdgeList
from stgraph.graph_views import to_cupy

_MAX_LEVEL, _THRESHOLD = 100, 1e-7  # cuGraph's own defaults
_THETA = 1.0  # accepted by Leiden but never read


def missing_driver() -> str | None:
    """None if a CUDA driver is installed, else the reason cuGraph cannot run."""
    if find_library("cuda") is None:
        return "no CUDA driver was found on this machine (cuGraph needs an NVIDIA GPU)"
    return None


_ENSEMBLE: Mapping[str, Parameter] = {
    "ensemble_size": Parameter(16, "runs of Louvain whose agreement weighs the edges", least=1, most=10_000),
    "min_weight": Parameter(0.05, "weight of an edge that no run keeps inside a community", least=0.0, most=1.0),
}


class CugraphBackend:
    """One of cuGraph's algorithms. Its Louvain takes no seed; its Leiden takes one and ignores it."""

    package = "pylibcugraph"

    def __init__(
        self, name: str, capabilities: Capabilities, parameters: Mapping[str, Parameter] | None = None
    ) -> None:
        self.name = name
        self.capabilities = capabilities
        self.parameters = {} if parameters is None else parameters

    def unavailable(self) -> str | None:
        return (
            missing_driver()
            or missing_package("pylibcugraph", "pylibcugraph", "cuda13")
            or missing_package("cupy", "cupy", "cuda13")
        )

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        """[n] int32 labels on the device of the edges. Waits for the edges before the call and for cuGraph's result."""
        import cupy
        import pylibcugraph

        # Only addresses, lengths and dtypes are read from these arrays: a stride would be silently ignored.
        src, dst, weight = (cupy.ascontiguousarray(a) for a in to_cupy(edges))
        with src.device:
            labels = self._labels(pylibcugraph, cupy, edges.n_nodes, src, dst, weight, params)
        return gpu_tensor(labels) if is_tensor(edges.src) else cupy.asnumpy(labels)

    def _labels(
        self, pylibcugraph: Any, cupy: Any, n_nodes: int, src: Any, dst: Any, weight: Any, params: BackendParams
    ) -> Any:
        handle = pylibcugraph.ResourceHandle()
        # Single precision loses gains near the end of an optimisation (rapids-singlecell #417). Without
        # renumbering results do not depend on degrees.
        weight = weight.astype(np.float64)
        vertices = cupy.arange(n_nodes, dtype=np.int32)
        # cuGraph works on its own stream and waits for no other.
        cupy.cuda.get_current_stream().synchronize()
        graph = pylibcugraph.SGGraph(
            handle,
            pylibcugraph.GraphProperties(is_symmetric=True, is_multigraph=False),
            src,
            dst,
            weight_array=weight,
            store_transposed=False,
            renumber=False,
            do_expensive_check=False,
            vertices_array=vertices,
            symmetrize=True,
        )
        if self.name == "cugraph-components":
            vertex, label = pylibcugraph.weakly_connected_components(handle, graph, None, None, None, None, False)
        elif self.name == "cugraph-louvain":
            vertex, label, _ = pylibcugraph.louvain(handle, graph, _MAX_LEVEL, _THRESHOLD, params.resolution, False)
        elif self.name == "cugraph-ecg":
            vertex, label, _ = pylibcugraph.ecg(
                handle,
                params.seed,
                graph,
                params.options["min_weight"],
                params.options["ensemble_size"],
                _MAX_LEVEL,
                _THRESHOLD,
                params.resolution,
                False,
            )
        else:
            vertex, label, _ = pylibcugraph.leiden(
                handle, params.seed, graph, _MAX_LEVEL, params.resolution, _THETA, False
            )
        labels = cupy.empty(n_nodes, dtype=label.dtype)
        labels[vertex] = label  # rows come in arbitrary order
        return labels


def _modularity(ignores: tuple[str, ...]) -> Capabilities:
    return Capabilities("cuda", "modularity", weighted=True, seeded=False, deterministic=False, ignores=ignores)


CUGRAPH_COMPONENTS = CugraphBackend("cugraph-components", replace(COMPONENTS, device="cuda"))
CUGRAPH_LOUVAIN = CugraphBackend("cugraph-louvain", _modularity(("seed",)))
CUGRAPH_LEIDEN = CugraphBackend("cugraph-leiden", _modularity(("seed",)))
CUGRAPH_ECG = CugraphBackend(
    "cugraph-ecg",
    Capabilities("cuda", "consensus", weighted=True, seeded=True, deterministic=False, not_yet_run_on=("cuda",)),
    _ENSEMBLE,
)
