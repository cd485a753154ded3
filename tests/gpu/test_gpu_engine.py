"""The whole of graph, communities and selection on the GPU engine (in the interpreter), against the CPU engine."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from feature_zoo import GRIDS, newline_per_row, separator_per_frame
from host_copies import none_as_large_as
from selection_oracles import features
from tensors import same, tensor

import stgraph
from stgraph import EdgeList, Selection, TokenGrid, VideoTokens, container
from stgraph.devices import is_tensor, to_host
from stgraph.errors import FeatureError, InputError, MissingDependencyError, UnavailableError

pytestmark = pytest.mark.usefixtures("interpreter")
Array = np.ndarray[Any, Any]
SHAPE = (4, 3, 5, 24)


def both(x: Array, grid: TokenGrid | None = None, **signals: Any) -> tuple[VideoTokens, VideoTokens]:
    """The same tokens for the CPU engine and for the GPU engine."""
    if grid is None:
        return tuple(VideoTokens.from_array(a, signals=signals) for a in (x, tensor(x)))  # type: ignore[return-value]
    return tuple(VideoTokens(a, grid, signals) for a in (x, tensor(x)))  # type: ignore[return-value]


def check_same(found: Selection, expected: Selection) -> None:
    import torch

    assert is_tensor(found.indices) and is_tensor(found.reason) and is_tensor(found.scores)
    same(torch.from_dlpack(found), expected.indices)
    same(found.reason, expected.reason)
    np.testing.assert_allclose(to_host(found.scores), expected.scores, rtol=0, atol=1e-5)
    same(found.nodes, expected.nodes)
    same(found.mask, expected.mask)
    assert found.reasons() == expected.reasons()
    assert found.account == expected.account
    assert found.exactness == expected.exactness
    timeless = [{k: v for k, v in s.report.items() if k not in ("seconds", "host_copy")} for s in (found, expected)]
    assert timeless[0] == pytest.approx(timeless[1], abs=1e-5)


# With one channel every cosine is 1 or -1, and rounding decides between them all.
@pytest.mark.parametrize("shape", [shape for shape in GRIDS if shape[3] > 1], ids=str)
def test_the_paper_on_every_grid(shape: tuple[int, ...]) -> None:
    cpu, gpu = both(features(7, shape))
    graph, on_gpu = stgraph.build_graph(cpu), stgraph.build_graph(gpu)
    assert on_gpu.on_gpu and not graph.on_gpu
    np.testing.assert_allclose(to_host(on_gpu.similarity), graph.similarity, rtol=0, atol=1e-5)
    assert on_gpu.summary().degree_histogram == graph.summary().degree_histogram
    partition = stgraph.detect_communities(graph, "lattice-components")
    found = stgraph.detect_communities(on_gpu, "lattice-components")
    same(found.labels, partition.labels)
    same(found.uncapped_labels, partition.uncapped_labels)
    same(found.sizes, partition.sizes)
    assert repr(found) == repr(partition)
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3, tau_diff="p90")
    check_same(selector.select(gpu), selector.select(cpu))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("srts", {"tau_sim": 0.9, "max_size": 30}),
        ("dets", {}),
        ("st-simdiff", {"tau_diff": 0.6, "protect_events": True, "max_size": None}),
        ("st-simdiff", {"tau_diff": "p20", "protect_events": True, "max_size": None}),
        ("st-simdiff", {"importance": "norm", "spatial": False, "max_size": 3}),
        ("st-simdiff", {"importance": "difference", "split": "raster"}),
        ("st-simdiff", {"events": False, "reduce": False, "temporal": False}),
        ("st-simdiff", {"split": "redetect", "tau_sim": 0.5}),
        ("st-simdiff", {"split": "native", "backend": "leidenalg-leiden"}),
    ],
    ids=str,
)
def test_configurations(name: str, options: dict[str, Any]) -> None:
    cpu, gpu = both(features(5, SHAPE))
    selector = stgraph.selector(name, retain_ratio=0.4, **options)
    check_same(selector.select(gpu), selector.select(cpu))


def test_before_a_cap_inside_the_search() -> None:
    parts = [
        stgraph.detect_communities(stgraph.build_graph(x), "leidenalg-leiden", split="native")
        for x in both(features(5, SHAPE))
    ]
    moved = parts[1].to("cpu")
    assert parts[1].on_gpu and is_tensor(parts[1].uncapped_labels) and not is_tensor(moved.uncapped_labels)
    same(parts[1].uncapped_labels, parts[0].uncapped_labels)
    same(moved.uncapped_labels, parts[0].uncapped_labels)
    assert int(parts[1].n_oversized) == parts[0].n_oversized > 0


@pytest.mark.parametrize("name", ["st-simdiff-attention", "st-simdiff"])
def test_attention_in_host_memory_serves_a_gpu(name: str) -> None:
    x = features(6, SHAPE)
    attention = np.random.default_rng(0).random(SHAPE[:3], np.float32)
    cpu, gpu = both(x, importance=attention)
    selector = stgraph.selector(name, retain_ratio=0.2, max_size=None)
    check_same(selector.select(gpu), selector.select(cpu))
    given = stgraph.selector("st-simdiff", retain_ratio=0.2, importance=tensor(attention), max_size=None)
    in_host_memory = stgraph.selector("st-simdiff", retain_ratio=0.2, importance=attention, max_size=None)
    check_same(given.select(both(x)[1]), in_host_memory.select(cpu))
    attention[2, 1, 0] = np.nan
    with pytest.raises(InputError, match="importance is NaN at token 35"):
        given.select(gpu)


@pytest.mark.parametrize("kinds", [newline_per_row, separator_per_frame])
@pytest.mark.parametrize("newlines", ["in", "out"])
def test_newlines_and_separators(kinds: Any, newlines: str) -> None:
    kind = kinds(*SHAPE[:3])
    if newlines == "in" and kinds is separator_per_frame:
        pytest.skip("separators are no newlines")
    cpu, gpu = both(features(8, (1, 1, kind.size, 24)).reshape(kind.size, 24), TokenGrid(*SHAPE[:3], kind))
    assert gpu.lattice.data_ptr() == gpu.features.data_ptr()  # a view
    selector = stgraph.selector("st-simdiff", retain_ratio=0.4, newlines=newlines, max_size=None)
    expected = selector.select(cpu)
    found = selector.select(gpu)
    check_same(found, expected)
    same(found.gather(gpu.features), expected.gather(cpu.features))


def test_a_cpu_backend_sees_edges_and_no_features() -> None:
    cpu, gpu = both(features(9, SHAPE))
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3, backend="igraph-leiden", max_size=None)
    with none_as_large_as(gpu.features.numel()) as seen:
        found = selector.select(gpu)
    assert found.provenance["community"]["device"] == "cpu"
    n_edges = stgraph.build_graph(gpu).n_edges
    assert found.provenance["community"]["host_copy"] == (
        f"igraph-leiden runs on the CPU: {n_edges:,} edges were copied to host memory"
    )
    assert max(seen) == n_edges
    check_same(found, selector.select(cpu))


def test_paper_mode_copies_a_few_numbers() -> None:
    gpu = both(features(9, SHAPE))[1]
    with none_as_large_as(10) as seen:
        found = stgraph.selector("st-simdiff", retain_ratio=0.3, tau_diff="p95").select(gpu)
    assert found.provenance["community"]["host_copy"] is None
    assert "host_copy" not in found.report
    assert seen == [8]  # all figures of the report, in one transfer


def test_edges_of_ones_own_are_split_on_the_cpu() -> None:
    rng = np.random.default_rng(0)
    ends = np.stack([np.arange(39), np.arange(1, 40)])
    edges = EdgeList.from_arrays(40, *ends[:, rng.random(39) < 0.9])
    given = EdgeList(40, *(tensor(a) for a in (edges.src, edges.dst, edges.weight)))
    found = stgraph.detect_communities(given, "lattice-components", max_size=4)
    same(found.labels, stgraph.detect_communities(edges, "lattice-components", max_size=4).labels)
    assert found.provenance.host_copy == "splitter tree runs on the CPU: edges and labels were copied to host memory"


def test_everything_is_kept_where_r_is_1() -> None:
    gpu = both(features(9, SHAPE))[1]
    for name in ("dets", "st-simdiff"):
        assert stgraph.selector(name, retain_ratio=1.0).select(gpu).indices.tolist() == list(range(60))


def test_graphs_and_partitions_move(tmp_path: Any) -> None:
    cpu, gpu = both(features(9, SHAPE))
    graph, on_gpu = stgraph.build_graph(cpu), stgraph.build_graph(gpu)
    for view in ("to_networkx", "to_igraph", "to_scipy", "to_arrow"):
        assert type(getattr(on_gpu, view)()) is type(getattr(graph, view)())
    assert abs(on_gpu.to_scipy() - graph.to_scipy()).max() < 1e-5
    assert on_gpu.neighbours(17).keys() == graph.neighbours(17).keys()
    partition = stgraph.detect_communities(graph, "lattice-components")
    found = stgraph.detect_communities(on_gpu, "lattice-components")
    assert found.is_connected
    assert found.members(0).tolist() == partition.members(0).tolist()
    same(found.quotient().src, partition.quotient().src)
    assert found.summary() == pytest.approx(partition.summary(), abs=1e-5)
    kept = stgraph.selector("st-simdiff", retain_ratio=0.3).select(gpu)
    assert found._repr_html_() == partition._repr_html_()
    assert kept._repr_html_() == kept.to("cpu")._repr_html_()
    for path, selection, tokens in ((tmp_path / "a", kept, gpu), (tmp_path / "b", kept.to("cpu"), cpu)):
        selection.save(path, tokens)
    stored = [container.read(tmp_path / name, "selection")[0] for name in "ab"]
    assert {*stored[0]} == {*stored[1]} >= {"features", "indices", "scores"}
    for name in stored[0]:
        np.testing.assert_array_equal(stored[0][name], stored[1][name])


def test_bad_input_is_named() -> None:
    x = features(9, SHAPE)
    x[1, 2, 3, 4] = np.nan
    gpu = both(x)[1]
    with pytest.raises(FeatureError, match="the first bad token is 28 "):
        stgraph.build_graph(gpu)
    with pytest.raises(FeatureError, match="dtype float64"):
        VideoTokens.from_array(tensor(x.astype(np.float64)))
    with pytest.raises(InputError, match="needs positive edge weights"):
        noise = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
        graph = stgraph.build_graph(both(noise)[1], tau_sim=-1.0)
        stgraph.detect_communities(graph, "igraph-leiden")


def test_without_triton_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = both(features(9, SHAPE))[1]
    for module in [name for name in sys.modules if name.startswith("stgraph.kernels.gpu.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(MissingDependencyError, match=r"computing on a GPU needs .*'triton'.*pip install triton"):
        stgraph.build_graph(gpu)


def test_tokens_move() -> None:
    cpu, gpu = both(features(9, SHAPE))
    assert (gpu.device, gpu.dtype, cpu.on_gpu, gpu.on_gpu) == ("cpu", "float32", False, True)
    assert not gpu.to("cpu").on_gpu
    np.testing.assert_array_equal(gpu.to("cpu").features, cpu.features)
    with pytest.raises(UnavailableError, match="device 'cuda' cannot be used here: "):
        cpu.to("cuda")
