"""On a cluster of GPU workers: cuGraph's own multi-GPU engine behind the backends. One worker on one GPU is enough."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import numpy as np
import pytest
import rapids_dask
from tensors import tensor
from zoo import ZOO

import stgraph
from stgraph import EdgeList
from stgraph.devices import to_host

# Warnings of RAPIDS and Dask are not ours to turn into errors.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module", params=[1, 2], ids=["one GPU", "two GPUs"])
def cluster(request: pytest.FixtureRequest) -> Iterator[None]:
    for package in ("cugraph", "dask_cudf", "dask_cuda"):
        pytest.importorskip(package, reason=f"needs {package}")
    import torch

    if torch.cuda.device_count() < request.param:
        pytest.skip(f"needs {request.param} GPUs, found {torch.cuda.device_count()}")
    from cugraph.dask.comms import comms
    from dask_cuda import LocalCUDACluster
    from distributed import Client

    with LocalCUDACluster(n_workers=request.param) as workers, Client(workers):
        comms.initialize(p2p=True)
        try:
            yield
        finally:
            comms.destroy()


@pytest.mark.parametrize("shape", ZOO)
def test_components_are_those_of_one_device(cluster: None, shape: str) -> None:
    edges = ZOO[shape]()
    expected = stgraph.detect_communities(edges, "scipy-components", max_size=None)
    found = stgraph.detect_communities(edges, "cugraph-dask-components", max_size=None)
    np.testing.assert_array_equal(found.labels, expected.labels)


@pytest.mark.parametrize("name", ["cugraph-dask-louvain", "cugraph-dask-leiden"])
@pytest.mark.parametrize("shape", ["video", "video with holes", "sample"])
def test_modularity_is_near_that_of_one_device(cluster: None, name: str, shape: str) -> None:
    edges = ZOO[shape]()
    expected = stgraph.detect_communities(edges, "igraph-leiden", max_size=None)
    found = stgraph.detect_communities(edges, name, max_size=None)
    assert found.summary()["modularity"] > 0.95 * expected.summary()["modularity"]
    capped = stgraph.detect_communities(edges, name, max_size="sqrt")
    assert capped.sizes.max() <= capped.provenance.max_size


def test_edges_on_the_device_give_labels_there(cluster: None) -> None:
    edges = ZOO["sample"]()
    on_device = EdgeList(edges.n_nodes, *(tensor(a).cuda() for a in (edges.src, edges.dst, edges.weight)))
    found = stgraph.detect_communities(on_device, "cugraph-dask-components", max_size=None)
    expected = stgraph.detect_communities(edges, "scipy-components", max_size=None)
    assert found.labels.device.type == "cuda"
    np.testing.assert_array_equal(to_host(found.labels), expected.labels)


def test_the_stand_in_has_the_parameters_of_the_installed_libraries(cluster: None) -> None:
    import cugraph
    import dask_cudf

    pairs = [
        (getattr(cugraph.dask, name), getattr(rapids_dask, name))
        for name in ("weakly_connected_components", "louvain", "leiden")
    ]
    pairs.append((dask_cudf.from_cudf, rapids_dask.from_cudf))
    own_graph = rapids_dask.graph_of(rapids_dask.Cluster(1))
    pairs.append((cugraph.Graph.from_dask_cudf_edgelist, own_graph.from_dask_cudf_edgelist))
    for real, stand_in in pairs:
        assert list(inspect.signature(real).parameters) == list(inspect.signature(stand_in).parameters)
