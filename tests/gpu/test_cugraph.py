"""RAPIDS views and backends of a graph on a GPU, against a stand-in for RAPIDS that checks what it is given."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from host_copies import none_as_large_as
from rapids import DeviceArray, installed
from selection_oracles import features
from tensors import tensor

import stgraph
from stgraph import EdgeList, VideoTokens
from stgraph.community.backend_cugraph import CUGRAPH_LEIDEN
from stgraph.devices import is_tensor, to_host
from stgraph.errors import BackendUnavailableError, MissingDependencyError

X = features(9, (3, 4, 5, 24))
BACKENDS = ("cugraph-components", "cugraph-louvain", "cugraph-leiden")


@pytest.fixture(autouse=True)
def rapids() -> Iterator[None]:
    with installed():
        yield


@pytest.fixture(params=["host", "GPU"])
def tokens(request: pytest.FixtureRequest) -> VideoTokens:
    if request.param == "host":
        return VideoTokens.from_array(X)
    request.getfixturevalue("interpreter")
    return VideoTokens.from_array(tensor(X))


def test_edges_as_cupy_arrays(tokens: VideoTokens) -> None:
    graph = stgraph.build_graph(tokens)
    columns = (graph.edges.src, graph.edges.dst, graph.edges.weight)
    for array, own, dtype in zip(graph.to_cupy(), columns, ("int32", "int32", "float32"), strict=True):
        assert isinstance(array, DeviceArray) and array.dtype == dtype
        np.testing.assert_array_equal(array.host, to_host(own))
        assert np.shares_memory(array.host, to_host(own)) == graph.on_gpu


def test_cudf_frame_shares_its_columns(tokens: VideoTokens) -> None:
    graph = stgraph.build_graph(tokens)
    frame = graph.to_cudf()
    assert {name: column.values.dtype.name for name, column in frame.columns.items()} == {
        "src": "int32",
        "dst": "int32",
        "weight": "float64",
    }
    assert np.shares_memory(frame["src"].values.host, to_host(graph.edges.src)) == graph.on_gpu


@pytest.mark.parametrize("tau", [0.8, 1.0])
def test_cugraph_graph_lists_every_vertex(tokens: VideoTokens, tau: float) -> None:
    graph = stgraph.build_graph(tokens, tau)
    made = graph.to_cugraph()
    assert made.n_vertices == graph.n_nodes == 60
    assert (graph.n_edges == 0) == (tau == 1.0)


@pytest.mark.parametrize("name", BACKENDS)
def test_backends_on_tensors_and_on_arrays(name: str, tokens: VideoTokens) -> None:
    graph = stgraph.build_graph(tokens)
    found = stgraph.detect_communities(graph, name, max_size=None)
    twin = {"cugraph-components": "scipy-components"}.get(name, "igraph-" + name.rpartition("-")[2])
    expected = stgraph.detect_communities(stgraph.build_graph(VideoTokens.from_array(X)), twin, max_size=None)
    if name == "cugraph-components":
        assert found.labels.tolist() == expected.labels.tolist()
    assert found.summary()["modularity"] == pytest.approx(expected.summary()["modularity"], abs=0.05)
    assert is_tensor(found.labels) == graph.on_gpu
    assert found.provenance.device == "cuda"
    assert found.provenance.library == "pylibcugraph"
    assert found.provenance.host_copy is None
    if name != "cugraph-components":
        assert "seed" in found.provenance.ignored


def test_selection_stays_on_the_device_and_under_the_cap(interpreter: None) -> None:
    tokens = VideoTokens.from_array(tensor(X))
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3, backend="cugraph-components", max_size=4)
    with none_as_large_as(tokens.features.numel()):
        kept = selector.select(tokens)
    own = stgraph.selector("st-simdiff", retain_ratio=0.3, backend="lattice-components", max_size=4)
    assert kept.indices.tolist() == own.select(tokens.to("cpu")).indices.tolist()
    assert kept.report["largest_community"] == 4
    assert is_tensor(kept.indices)
    assert kept.provenance["community"]["host_copy"] is None


def test_auto_takes_cugraph_where_it_runs() -> None:
    assert (
        stgraph.detect_communities(stgraph.build_graph(VideoTokens.from_array(X)), "auto").provenance.backend
        == "cugraph-leiden"
    )


def test_an_unavailable_backend_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from stgraph.community import backend_cugraph, base

    monkeypatch.setattr(base, "find_spec", lambda name: None)
    assert "'pylibcugraph' is not installed (pip install -e '.[cuda13]')" in (CUGRAPH_LEIDEN.unavailable() or "")
    monkeypatch.setattr(backend_cugraph, "find_library", lambda name: None)
    edges = EdgeList.from_arrays(2, [0], [1])
    with pytest.raises(BackendUnavailableError, match="cugraph-leiden cannot run here: no CUDA driver"):
        stgraph.detect_communities(edges, "cugraph-leiden")


@pytest.mark.parametrize("view", ["to_cupy", "to_cudf", "to_cugraph"])
def test_views_name_what_is_missing(view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("cupy", "cudf", "cugraph"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"pip install -e '\.\[cuda13\]'"):
        getattr(stgraph.build_graph(VideoTokens.from_array(X)), view)()
