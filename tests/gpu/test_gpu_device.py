"""On a CUDA device: what the interpreter cannot show. ``bench/gpu_check.sh`` runs these."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES, GRIDS
from host_copies import none_as_large_as
from selection_oracles import features
from tensors import tensor

import stgraph
from stgraph import VideoTokens
from stgraph.bench.synthetic import synthetic_signals
from stgraph.community.agreement import agreement
from stgraph.community.quality import cpm, modularity
from stgraph.devices import to_host
from stgraph.errors import FeatureError
from stgraph.gpu_parts import devices
from stgraph.selection.base import SELECTORS
from stgraph.selection.st_simdiff.centrality import centrality

pytestmark = pytest.mark.gpu
Array = np.ndarray[Any, Any]
SHAPES = [shape for shape in GRIDS if shape[3] > 1] + [(9, 14, 14, 896), (16, 7, 30, 130)]


def on_device(x: Array) -> VideoTokens:
    return VideoTokens.from_array(tensor(x).cuda())


def seen(tokens: VideoTokens, **options: Any) -> tuple[Array, Array, Array]:
    """(similarities, labels, kept) in host memory."""
    graph = stgraph.build_graph(tokens)
    partition = stgraph.detect_communities(graph, "lattice-components")
    kept = stgraph.selector("st-simdiff", retain_ratio=0.3, **options).select(tokens)
    return to_host(graph.similarity), to_host(partition.labels), to_host(kept.indices)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_both_engines_agree(shape: tuple[int, ...], dtype: Any) -> None:
    x = features(3, shape).astype(dtype)
    found, expected = seen(on_device(x), tau_diff="p95"), seen(VideoTokens.from_array(x), tau_diff="p95")
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-5)
    for a, b in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("max_size", [4, 50, None])
def test_large_communities(max_size: int | None) -> None:
    x = features(4, (20, 14, 14, 64), noise=0.02)
    options = {"max_size": max_size, "tau_sim": 0.7}
    tokens = VideoTokens.from_array(x)
    found, expected = seen(on_device(x), **options), seen(tokens, **options)
    np.testing.assert_array_equal(found[1], expected[1])
    graph = stgraph.build_graph(tokens, 0.7)
    central = centrality(tokens, graph, stgraph.detect_communities(graph, "lattice-components", max_size=max_size))
    # Tokens whose centrality differs by rounding alone may stand in for each other.
    np.testing.assert_allclose(np.sort(central[found[2]]), np.sort(central[expected[2]]), rtol=0, atol=1e-5)


def test_rows_of_extreme_norm_and_bad_ones() -> None:
    x = features(5, (3, 4, 5, 70))
    x[0, 0, 0] = 0
    x[0, 1] *= np.float32(1e-25)
    x[1] *= np.float32(1e25)
    x[2, 3, 4] *= np.float32(1e-38)
    np.testing.assert_allclose(seen(on_device(x))[0], seen(VideoTokens.from_array(x))[0], rtol=0, atol=1e-5)
    x[1, 2, 3, 4] = np.inf
    with pytest.raises(FeatureError, match="the first bad token is 33 "):
        stgraph.build_graph(on_device(x))


def test_the_same_bits_every_time() -> None:
    """No schedule of the device changes anything."""
    tokens = on_device(features(6, (16, 14, 14, 200), noise=0.1))
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3, max_size=None)
    first = selector.select(tokens)
    for _ in range(20):
        again = selector.select(tokens)
        assert again.indices.equal(first.indices)
        assert again.scores.equal(first.scores)


def test_a_producer_on_another_stream_is_waited_for() -> None:
    import torch

    x = tensor(features(7, (16, 14, 14, 896)))
    expected = stgraph.selector("st-simdiff", retain_ratio=0.3).select(VideoTokens.from_array(x.cuda())).indices
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        late = torch.zeros_like(x, device="cuda")
        torch.cuda._sleep(50_000_000)
        late.copy_(x)
        kept = stgraph.selector("st-simdiff", retain_ratio=0.3).select(VideoTokens.from_array(late))
    rows = torch.from_dlpack(kept)  # on the current stream, which has to wait
    assert rows.device.type == "cuda"
    assert rows.equal(expected)


def test_no_host_copy() -> None:
    tokens = on_device(features(8, (9, 14, 14, 896)))
    with none_as_large_as(1000) as copied:
        kept = stgraph.selector("st-simdiff", retain_ratio=0.3, tau_diff="p95").select(tokens)
    assert max(copied) < 10
    assert kept.indices.device == tokens.features.device


@pytest.mark.parametrize("name", SELECTORS.names())
def test_other_selectors_stay_on_the_device(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """As on the CPU; a copy of the features is made by those alone that say so."""
    host = synthetic_signals(VideoTokens.from_array(features(9, (4, 5, 6, 64))))
    tokens = VideoTokens(tensor(host.features).cuda(), host.grid, host.signals)
    chosen = stgraph.selector(name, retain_ratio=0.3)
    expected = chosen.select(host)
    if chosen.on_gpu:
        with none_as_large_as(host.features.size):
            kept = chosen.select(tokens)
        assert "host_copy" not in kept.report
    else:
        caplog.set_level(logging.INFO, "stgraph")
        kept = chosen.select(tokens)
        assert kept.report["host_copy"] in caplog.messages
        assert kept.report["host_copy"] == f"{name} does not compute on cuda:0, where the features were"
    assert kept.indices.tolist() == expected.indices.tolist()
    assert kept.indices.device.type == kept.gather(tokens.features).device.type == "cuda"


def test_cupy_in_and_out() -> None:
    cupy = pytest.importorskip("cupy", reason="needs CuPy")
    x = features(10, (4, 5, 6, 64))
    tokens = VideoTokens.from_array(cupy.asarray(x)[::-1, :, ::-1])
    kept = stgraph.selector("st-simdiff", retain_ratio=0.3).select(tokens)
    expected = stgraph.selector("st-simdiff", retain_ratio=0.3).select(VideoTokens.from_array(x[::-1, :, ::-1]))
    assert cupy.from_dlpack(kept).tolist() == expected.indices.tolist()
    src, dst, weight = stgraph.build_graph(tokens).to_cupy()
    assert (src.dtype, dst.dtype, weight.dtype) == ("int32", "int32", "float32")


@pytest.mark.parametrize("name", ["cudf", "cugraph"])
def test_rapids_views(name: str) -> None:
    pytest.importorskip(name, reason=f"needs {name}")
    graph = stgraph.build_graph(on_device(features(11, (4, 5, 6, 64))))
    if name == "cudf":
        frame = graph.to_cudf()
        assert frame["src"].values.data.ptr == graph.edges.src.data_ptr()  # not copied
        assert len(frame) == graph.n_edges
    else:
        assert graph.to_cugraph().number_of_vertices() == graph.n_nodes


@pytest.mark.parametrize("name", ["cugraph-components", "cugraph-louvain", "cugraph-leiden"])
def test_cugraph_on_device_edges(name: str) -> None:
    if reason := stgraph.backends()[name]:
        pytest.skip(reason)
    x = features(12, (16, 14, 14, 64), noise=0.1)
    graph = stgraph.build_graph(on_device(x))
    found = stgraph.detect_communities(graph, name)
    assert found.labels.device.type == "cuda"
    assert int(found.sizes.max()) <= found.provenance.max_size
    if name == "cugraph-components":
        own = stgraph.detect_communities(graph, "lattice-components")
        assert found.labels.equal(own.labels)
    else:
        free = stgraph.detect_communities(graph, name, max_size=None)
        twin = stgraph.detect_communities(graph.to("cpu"), "igraph-leiden", max_size=None)
        assert free.summary()["modularity"] > 0.95 * twin.summary()["modularity"]


@pytest.mark.parametrize(("name", "resolution"), [("lattice-leiden", 0.05), ("lattice-leiden-modularity", 1.0)])
def test_leiden_on_a_device(name: str, resolution: float) -> None:
    """Of nearly the CPU's quality, the same every time, and no edges are copied."""
    value = cpm if name == "lattice-leiden" else modularity
    graph = stgraph.build_graph(on_device(features(12, (16, 14, 14, 64), noise=0.1)))
    with none_as_large_as(graph.n_nodes):
        found = [stgraph.detect_communities(graph, name, resolution=resolution, max_size=None) for _ in range(2)]
    assert found[0].labels.equal(found[1].labels) and found[0].provenance.host_copy is None
    host = graph.to("cpu")
    twin = stgraph.detect_communities(host, name, resolution=resolution, max_size=None)
    of_both = [value(host.edges, to_host(one.labels), resolution) for one in (found[0], twin)]
    assert of_both[0] > 0.97 * of_both[1]


@pytest.mark.parametrize("name", ["features-kmeans", "features-dpc-knn"])
def test_features_are_clustered_on_a_device(name: str) -> None:
    x = features(12, (8, 7, 7, 640), noise=0.1)
    given, tokens = on_device(x), VideoTokens.from_array(x)
    with none_as_large_as(x.size):
        found = stgraph.detect_communities(stgraph.build_graph(given), name, tokens=given, max_size=None)
    twin = stgraph.detect_communities(stgraph.build_graph(tokens), name, tokens=tokens, max_size=None)
    # Rounding decides between centres that are equally near.
    assert agreement(to_host(found.labels), twin.labels).ari > 0.99


def test_compress_on_a_device() -> None:
    import copy

    from vlm_models import CASES, torch

    torch.backends.cudnn.allow_tf32 = False  # else convolutions round to 10 bits
    case = CASES["qwen2_vl"](2)
    selector = stgraph.selector("st-simdiff", retain_ratio=0.4, tau_sim=0.3)

    @torch.no_grad()
    def run(move: Callable[[Any], Any], limit: int) -> tuple[Any, Any]:
        model = move(copy.deepcopy(case.model))
        inputs = {name: move(value) if hasattr(value, "to") else value for name, value in case.inputs.items()}
        with none_as_large_as(limit), stgraph.compress(model, selector) as stats:
            return model(**inputs).logits, stats

    expected, plain = run(lambda a: a, 1 << 40)
    logits, stats = run(lambda a: a.to("cuda"), int(np.prod(case.grids[0])) * 64)
    assert (logits.cpu() - expected).abs().max() < 1e-3
    for found, video in zip(stats.videos, plain.videos, strict=True):
        assert found.nodes.tolist() == video.nodes.tolist()
        assert (found.host_copy, found.graph_host_copy) == (None, None)


def test_the_benchmark_runs() -> None:
    from stgraph.bench.speed.gpu import QUICK, measure_gpu
    from stgraph.bench.speed.gpu_prefill import LlmSize

    rows = measure_gpu(QUICK, 2, llm=LlmSize(2, 64, 2, 1, 128))
    assert all(row["seconds"] > 0 for row in rows if row["by"] in ("stgraph", "plain read", "torch"))


def test_the_driver_lists_this_device() -> None:
    assert devices()
