"""Backends of a graph on several GPUs, against a stand-in for a cluster that checks what it is given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import rapids_dask
from host_copies import none_as_large_as
from rapids_dask import Cluster
from selection_oracles import features
from tensors import tensor
from zoo import ZOO, graph

import stgraph
from stgraph import VideoTokens
from stgraph.community import backend_cugraph, backend_cugraph_dask, base
from stgraph.community.base import BackendParams, backend
from stgraph.devices import is_tensor
from stgraph.errors import BackendUnavailableError

X = features(9, (3, 4, 5, 24))
BACKENDS = ("cugraph-dask-components", "cugraph-dask-louvain", "cugraph-dask-leiden")
each = pytest.mark.parametrize("name", BACKENDS)


@pytest.fixture(autouse=True)
def cluster() -> Iterator[Cluster]:
    with rapids_dask.cluster() as running:
        yield running


@pytest.fixture(params=["host", "GPU"])
def tokens(request: pytest.FixtureRequest) -> VideoTokens:
    if request.param == "host":
        return VideoTokens.from_array(X)
    request.getfixturevalue("interpreter")
    return VideoTokens.from_array(tensor(X))


@each
def test_backends_on_tensors_and_on_arrays(name: str, tokens: VideoTokens) -> None:
    token_graph = stgraph.build_graph(tokens)
    found = stgraph.detect_communities(token_graph, name, max_size=None)
    own = stgraph.detect_communities(token_graph, name.replace("-dask", ""), max_size=None)
    if name == "cugraph-dask-components":
        assert found.labels.tolist() == own.labels.tolist()
    assert found.summary()["modularity"] == pytest.approx(own.summary()["modularity"], abs=0.05)
    assert is_tensor(found.labels) == token_graph.on_gpu
    assert (found.provenance.device, found.provenance.library) == ("cuda", "cugraph")
    assert found.provenance.host_copy is None
    capabilities = replace(backend(name).capabilities, not_yet_run_on=())
    assert capabilities == backend(name.replace("-dask", "")).capabilities


def test_selection_stays_on_the_device_and_under_the_cap(interpreter: None) -> None:
    tokens = VideoTokens.from_array(tensor(X))
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3, backend="cugraph-dask-components", max_size=4)
    with none_as_large_as(tokens.features.numel()):
        kept = selector.select(tokens)
    own = stgraph.selector("st-simdiff", retain_ratio=0.3, backend="lattice-components", max_size=4)
    assert kept.indices.tolist() == own.select(tokens.to("cpu")).indices.tolist()
    assert is_tensor(kept.indices)


@each
@pytest.mark.parametrize("n_workers", [1, 2, 8])
def test_every_worker_gets_edges_however_few_there_are(name: str, n_workers: int) -> None:
    with rapids_dask.cluster(n_workers):
        for edges in (ZOO["one edge"](), graph(4, [(0, 1), (1, 2), (2, 3)], [0.5, 0.25, 0.75])):
            found = stgraph.detect_communities(edges, name, max_size=None)
            if name == "cugraph-dask-components":
                assert set(found.labels.tolist()) == {0}


@each
def test_ids_are_widened_where_cugraph_counts_more_edges_than_they_hold(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges = ZOO["video"]()
    assert backend(name).labels(edges, BackendParams()).dtype == np.int32
    monkeypatch.setattr(backend_cugraph_dask, "_MOST_INT32_EDGES", edges.n_edges - 1)
    wide = backend(name).labels(edges, BackendParams())
    assert wide.dtype == np.int64
    if name == "cugraph-dask-components":
        assert len(set(wide.tolist())) == 1


@each
def test_an_isolated_node_is_no_garbage_label(name: str) -> None:
    with pytest.raises(
        RuntimeError, match=f"{name}: the workers labelled 2 of 3 nodes; isolated nodes must be set aside"
    ):
        backend(name).labels(graph(3, [(0, 1)]), BackendParams())
    assert stgraph.detect_communities(graph(3, [(0, 1)]), name).n_nodes == 3


def test_auto_stays_on_one_device() -> None:
    found = stgraph.detect_communities(ZOO["video"](), "auto")
    assert found.provenance.backend == "cugraph-leiden"


@each
def test_a_cluster_is_never_started_unasked(name: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(words: str) -> None:
        with pytest.raises(BackendUnavailableError, match=f"{name} cannot run here: {words}"):
            stgraph.detect_communities(ZOO["video"](), name)

    cluster.workers = cluster.workers[1:]
    refused(r"cuGraph's communicator .* does not have: tcp://127\.0\.0\.1:40000; restart cluster, client")
    cluster.communicating = None
    refused(r"cuGraph's communicator .* is not initialised; call cugraph\.dask\.comms\.comms\.initialize\(p2p=True\)")
    monkeypatch.delitem(sys.modules, "cugraph.dask.comms.comms")
    refused(r"cuGraph's communicator .* is not initialised")
    cluster.has_client = False
    refused(r"no Dask client is running; start one on GPU workers, e\.g\. distributed\.Client\(dask_cuda\.Local")
    monkeypatch.delitem(sys.modules, "distributed")
    refused("no Dask client is running")


@each
@pytest.mark.parametrize(("module", "package"), [("cugraph", "cugraph"), ("dask_cudf", "dask-cudf")])
def test_a_missing_package_is_named(name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_spec", lambda asked: None if asked == module else object())
    words = f"the package '{package}' is not installed (pip install -e '.[cuda13]')"
    assert backend(name).unavailable() == words
    monkeypatch.setattr(backend_cugraph, "find_library", lambda asked: None)
    assert "no CUDA driver" in (backend(name).unavailable() or "")
