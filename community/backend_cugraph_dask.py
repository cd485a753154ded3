"""cuGraph on several GPUs: connected components, Louvain and Leiden on one graph, through ``cugraph.dask``.

For graphs too large for one device, which are rare: docs/stream.md has the figures. The caller starts and closes the
cluster, its client and cuGraph's communicator. Written from the sources of cuGraph 26.10; not yet run on a device.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from stgraph.community.backend_cugraph import CUGRAPH_COMPONENTS, CUGRAPH_LEIDEN, CUGRAPH_LOUVAIN, missing_driver
from stgraph.community.base import BackendParams, Capabilities, missing_package
from stgraph.devices import gpu_tensor, is_tensor
from stgraph.edges import EdgeList
from stgraph.graph_views import to_cupy

_MOST_INT32_EDGES = 2**30 - 1  # cuGraph counts both directions of an edge in the ids' dtype


class CugraphDaskBackend:
    """One of cuGraph's algorithms, on the workers of the current Dask client. Seeds have as little effect as on one
    GPU, and Leiden's differ between workers.

    The whole edge list, at most 3 edges per token, passes through the calling process's device and from there to the
    workers in equal parts; the labels return the same way. Only the graph in between is distributed.
    """

    package = "cugraph"

    def __init__(self, name: str, capabilities: Capabilities) -> None:
        self.name = name
        self.capabilities = replace(capabilities, not_yet_run_on=("cuda",))

    def unavailable(self) -> str | None:
        return (
            missing_driver()
            or missing_package("cugraph", "cugraph", "cuda13")
            or missing_package("dask_cudf", "dask-cudf", "cuda13")
            or _missing_cluster()
        )

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        """[n] int32 or int64 labels on the device of the edges. Waits for the edges before the call and for the result.

        Raises
        ------
        RuntimeError
            the workers labelled more or fewer nodes than the graph has
        """
        import cupy

        src, dst, weight = to_cupy(edges)
        with src.device:
            vertex, label = self._found(cupy, src, dst, weight, params)
            if len(vertex) != edges.n_nodes:
                raise RuntimeError(
                    f"{self.name}: the workers labelled {len(vertex):,} of {edges.n_nodes:,} nodes; isolated nodes "
                    "must be set aside before, as detect_communities does"
                )
            labels = cupy.empty(edges.n_nodes, dtype=label.dtype)
            labels[vertex] = label  # rows come in arbitrary order
        return gpu_tensor(labels) if is_tensor(edges.src) else cupy.asnumpy(labels)

    def _found(self, cupy: Any, src: Any, dst: Any, weight: Any, params: BackendParams) -> tuple[Any, Any]:
        """(vertices, labels) in any order, gathered from the workers."""
        import cudf
        import cugraph
        import cugraph.dask
        import dask_cudf
        from cugraph.dask.comms import comms

        ids = np.int32 if len(src) <= _MOST_INT32_EDGES else np.int64
        columns = {
            "src": src.astype(ids, copy=False),
            "dst": dst.astype(ids, copy=False),
            "weight": weight.astype(np.float64),  # single precision loses gains near the end
        }
        # cuDF works on its own stream, and Dask's threads on others.
        cupy.cuda.get_current_stream().synchronize()
        frame = cudf.DataFrame({name: cudf.Series(column) for name, column in columns.items()})
        n_workers = len(comms.get_workers())
        # cuGraph cuts the edges into two parts per worker and fails on a worker without any. It drops duplicate edges.
        copies = math.ceil(2 * n_workers / len(src))
        if copies > 1:
            frame = cudf.concat([frame] * copies, ignore_index=True)
        graph = cugraph.Graph(directed=False)
        graph.from_dask_cudf_edgelist(
            dask_cudf.from_cudf(frame, npartitions=n_workers),
            source="src",
            destination="dst",
            weight="weight",
            renumber=False,
        )
        column = "partition"
        if self.name == "cugraph-dask-components":
            column, parts = "labels", cugraph.dask.weakly_connected_components(graph)
        elif self.name == "cugraph-dask-louvain":
            parts, _ = cugraph.dask.louvain(graph, resolution=params.resolution)
        else:
            parts, _ = cugraph.dask.leiden(graph, resolution=params.resolution, random_state=params.seed)
        found = parts.compute()
        return found["vertex"].values, found[column].values


def _missing_cluster() -> str | None:
    """The reason the cluster cannot be used. A client and a communicator exist only if their modules are imported."""
    distributed = sys.modules.get("distributed")
    try:
        client = distributed.default_client() if distributed else None
    except ValueError:
        client = None
    if client is None:
        return (
            "no Dask client is running; start one on GPU workers, e.g. "
            "distributed.Client(dask_cuda.LocalCUDACluster()), then call cugraph.dask.comms.comms.initialize(p2p=True)"
        )
    comms = sys.modules.get("cugraph.dask.comms.comms")
    if comms is None or not comms.is_initialized():
        return (
            "cuGraph's communicator between the GPU workers is not initialised; call "
            "cugraph.dask.comms.comms.initialize(p2p=True) once after the Dask client has started"
        )
    # Waiting for a worker that is gone would never end.
    gone = sorted(set(comms.get_workers()) - set(client.nthreads()))
    if gone:
        return (
            f"cuGraph's communicator was initialised on GPU workers that the Dask client does not have: "
            f"{', '.join(gone)}; restart cluster, client and communicator"
        )
    return None


CUGRAPH_DASK_COMPONENTS = CugraphDaskBackend("cugraph-dask-components", CUGRAPH_COMPONENTS.capabilities)
CUGRAPH_DASK_LOUVAIN = CugraphDaskBackend("cugraph-dask-louvain", CUGRAPH_LOUVAIN.capabilities)
CUGRAPH_DASK_LEIDEN = CugraphDaskBackend("cugraph-dask-leiden", CUGRAPH_LEIDEN.capabilities)
