"""The token graph: which edges it has, what it says about itself, and every view of it."""

from __future__ import annotations

import math
import sys
from itertools import product
from typing import Any

import numpy as np
import oracles
import pytest
from feature_zoo import GRIDS, features

from stgraph import TokenGraph, VideoTokens, build_graph
from stgraph.errors import GridError, InputError, MissingDependencyError
from stgraph.graph import FAMILIES
from stgraph.graph_summary import FamilySummary, GraphSummary

Array = np.ndarray[Any, Any]
SWITCHES = list(product((True, False), repeat=4))


def tokens(shape: tuple[int, ...] = (3, 4, 5, 8)) -> VideoTokens:
    return VideoTokens.from_array(features(shape))


def with_weights(right: float, bottom: float, temporal: float) -> VideoTokens:
    """A 2x2x2 video whose cosines are exactly these, from unit vectors and signs (each is -1, 0 or 1)."""
    x = np.zeros((2, 2, 2, 8), np.float32)
    for t, h, w in np.ndindex(2, 2, 2):
        axis = (4 * t if temporal == 0 else 0) + (2 * h if bottom == 0 else 0) + (w if right == 0 else 0)
        x[t, h, w, axis] = (temporal or 1) ** t * (bottom or 1) ** h * (right or 1) ** w
    return VideoTokens.from_array(x)


def pairs(graph: TokenGraph) -> list[tuple[int, int]]:
    return list(zip(graph.edges.src.tolist(), graph.edges.dst.tolist(), strict=True))


def same(a: TokenGraph, b: TokenGraph) -> bool:
    return (
        pairs(a) == pairs(b)
        and a.edges.weight.tobytes() == b.edges.weight.tobytes()
        and a.edge_family.tobytes() == b.edge_family.tobytes()
        and (a.tau_sim, a.families) == (b.tau_sim, b.families)
    )


@pytest.mark.parametrize("shape", GRIDS, ids=str)
def test_lattice_has_as_many_edges_as_the_formula_says(shape: tuple[int, ...]) -> None:
    T, H, W, _ = shape
    edges = build_graph(tokens(shape)).all_edges()
    assert edges.n_edges == T * H * (W - 1) + T * (H - 1) * W + (T - 1) * H * W
    assert edges.n_nodes == T * H * W


@pytest.mark.parametrize("tau", [-1.0, -0.2, 0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("shape", GRIDS, ids=str)
def test_edges_are_those_above_the_threshold(shape: tuple[int, ...], tau: float) -> None:
    graph = build_graph(tokens(shape), tau)
    similarity = graph.similarity.astype(np.float64)
    assert pairs(graph) == oracles.edges_above(similarity, tau)
    assert pairs(graph) == sorted(pairs(graph))
    assert np.all(graph.edges.src < graph.edges.dst)
    assert (graph.edges.src.dtype, graph.edges.weight.dtype) == (np.int32, np.float32)
    flat = similarity.reshape(3, -1)
    np.testing.assert_array_equal(graph.edges.weight, flat[graph.edge_family, graph.edges.src])
    family = {(i, j): f for i, j, f in oracles.lattice(*shape[:3])}
    assert graph.edge_family.tolist() == [family[pair] for pair in pairs(graph)]


def test_many_frames_are_listed_in_order() -> None:
    graph = build_graph(tokens((200, 25, 30, 2)), 0.5)  # above the size at which threads share the frames
    assert graph.n_nodes > 2 * 65_536
    assert pairs(graph) == oracles.edges_above(graph.similarity, 0.5)


def test_threshold_is_strict() -> None:
    assert build_graph(with_weights(1, 0, 0), 1.0).n_edges == 0
    assert build_graph(with_weights(1, 0, 0), 0.999).n_edges == 4
    assert build_graph(with_weights(1, 1, 0), 0.0).n_edges == 8
    assert build_graph(with_weights(1, 1, -1), -1.0).n_edges == 8
    assert build_graph(with_weights(1, 1, 0), -1.0).n_edges == 12


def test_zero_norm_token_passes_no_threshold_from_zero() -> None:
    x = np.ones((3, 3, 3, 4), np.float32)
    x[1, 1, 1] = 0
    graph = build_graph(VideoTokens.from_array(x), 0.0)
    assert graph.edges.degrees()[13] == 0
    assert graph.n_edges == 54 - 6
    assert graph.summary().n_zero_norm == 1


@pytest.mark.parametrize(("spatial", "temporal", "right", "bottom"), SWITCHES)
def test_families_are_switched_off(spatial: bool, temporal: bool, right: bool, bottom: bool) -> None:
    video = tokens()
    graph = build_graph(video, 0.3, spatial=spatial, temporal=temporal, right=right, bottom=bottom)
    on = [f for f, used in enumerate((spatial and right, spatial and bottom, temporal)) if used]
    assert graph.families == tuple(FAMILIES[f] for f in on)
    assert pairs(graph) == oracles.edges_above(graph.similarity, 0.3, on)
    assert graph.all_edges().n_edges == len(oracles.edges_above(graph.similarity, -math.inf, on))
    # What DETS needs stays, whatever the switches.
    np.testing.assert_array_equal(graph.temporal_similarity, build_graph(video).similarity[oracles.TEMPORAL, :-1])
    again = build_graph(video).with_threshold(0.3, spatial=spatial, temporal=temporal, right=right, bottom=bottom)
    assert same(graph, again)


@pytest.mark.parametrize("tau", [-1, 0.1, 0.75, 1])
def test_with_threshold_equals_building_again(tau: float) -> None:
    video = tokens()
    graph = build_graph(video)
    graph.n_edges  # noqa: B018 (the cached edges of the first threshold must not be kept)
    assert same(graph.with_threshold(tau), build_graph(video, tau))
    assert same(graph.with_threshold(), graph)


@pytest.mark.parametrize("tau", [1.0001, -2, math.nan, math.inf, "0.8", None, True, [0.8], 1j])
def test_impossible_thresholds_are_refused(tau: Any) -> None:
    with pytest.raises(InputError, match=r"tau_sim is .*\[-1, 1\]"):
        build_graph(tokens(), tau)


@pytest.mark.parametrize("tau", [np.float32(0.5), np.float64(0.5), np.int64(0), 0])
def test_numbers_of_numpy_are_thresholds(tau: Any) -> None:
    assert build_graph(tokens(), tau).tau_sim == float(tau)


def test_what_is_no_video_is_refused() -> None:
    with pytest.raises(InputError, match="build_graph got ndarray; pass VideoTokens"):
        build_graph(features((1, 2, 3, 4)))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (3, 3, 3, 4), (2, 1, 4, 4)], ids=str)
def test_neighbours(shape: tuple[int, ...]) -> None:
    graph = build_graph(tokens(shape), 0.9)
    steps = {"left": (0, 0, -1), "right": (0, 0, 1), "top": (0, -1, 0)}
    steps |= {"bottom": (0, 1, 0), "previous": (-1, 0, 0), "next": (1, 0, 0)}
    weight = {(i, j): graph.similarity.reshape(3, -1)[f, i] for i, j, f in oracles.lattice(*shape[:3])}
    for node in range(graph.n_nodes):
        place = np.array(np.unravel_index(node, shape[:3]))
        expected = {}
        for side, step in steps.items():
            there = place + step
            if np.all((there >= 0) & (there < shape[:3])):
                other = int(np.ravel_multi_index(there, shape[:3]))
                expected[side] = (other, float(weight[min(node, other), max(node, other)]))
        assert graph.neighbours(node) == expected


@pytest.mark.parametrize("node", [-1, 60])
def test_neighbours_of_no_node(node: int) -> None:
    with pytest.raises(GridError, match=f"node {node} lies outside grid 3x4x5 with 60 nodes"):
        build_graph(tokens()).neighbours(node)


def summary(graph: TokenGraph) -> dict[str, Any]:
    return graph.summary().to_dict()


@pytest.mark.parametrize("tau", [-1.0, 0.5, 1.0])
@pytest.mark.parametrize("temporal", [True, False])
def test_summary_counts(temporal: bool, tau: float) -> None:
    graph = build_graph(tokens((4, 5, 6, 9)), tau, temporal=temporal)
    found = summary(graph)
    families = (0, 1, 2) if temporal else (0, 1)
    above = oracles.edges_above(graph.similarity, tau, families)
    lattice = [e for e in oracles.lattice(4, 5, 6) if e[2] in families]
    degrees = np.bincount(np.array(above, dtype=int).ravel(), minlength=120)
    assert (found["grid"], found["n_nodes"], found["n_edges"]) == ("4x5x6", 120, len(above))
    assert (found["tau_sim"], found["n_zero_norm"]) == (tau, 0)
    assert found["above_ratio"] == len(above) / len(lattice)
    assert found["n_isolated"] == np.count_nonzero(degrees == 0)
    assert found["mean_degree"] == pytest.approx(degrees.mean())
    assert list(found["degree_histogram"]) == np.bincount(degrees, minlength=7).tolist()
    assert [f["in_graph"] for f in found["families"]] == [True, True, temporal]


def test_summary_of_each_family() -> None:
    graph = build_graph(tokens((4, 5, 6, 9)), 0.5)
    for index, family in enumerate(summary(graph)["families"]):
        values = np.sort([graph.similarity.reshape(3, -1)[f, i] for i, _, f in oracles.lattice(4, 5, 6) if f == index])
        values = values.astype(np.float64)
        assert family["family"] == FAMILIES[index]
        assert (family["n_lattice"], family["n_above"]) == (values.size, np.count_nonzero(values > 0.5))
        assert family["above_ratio"] == family["n_above"] / family["n_lattice"]
        assert family["mean"] == pytest.approx(values.sum() / values.size)
        assert family["std"] == pytest.approx(math.sqrt(((values - values.mean()) ** 2).sum() / values.size))
        for name, share in (("p5", 0.05), ("median", 0.5), ("p95", 0.95)):
            below, rest = divmod(share * (values.size - 1), 1)
            expected = values[int(below)] * (1 - rest) + values[int(below) + 1] * rest
            assert family[name] == pytest.approx(expected)


def test_summary_of_one_token() -> None:
    found = summary(build_graph(tokens((1, 1, 1, 4))))
    assert (found["n_edges"], found["n_isolated"], found["above_ratio"], found["mean_degree"]) == (0, 1, 0, 0)
    assert all(f["n_lattice"] == 0 and f["median"] is None for f in found["families"])


def test_repr() -> None:
    graph = build_graph(with_weights(1, 0, 0), 0.25)
    assert repr(graph) == "TokenGraph(2x2x2, 8 tokens, 4 edges, 33 % of lattice edges above 0.25)"


def test_html_has_a_row_per_family() -> None:
    html = build_graph(tokens(), temporal=False)._repr_html_()
    assert html.count("<tr>") == 4
    assert "<td>temporal (off)</td>" in html
    assert "60 tokens" in html


def test_html_is_escaped() -> None:
    family = FamilySummary("<b>&", True, 1, 1, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0)
    html = GraphSummary("<i>", 1, 0, 0.8, 0.0, 1, 0, 0.0, (1,), (family,)).html()
    assert "&lt;b&gt;&amp;" in html
    assert "&lt;i&gt;" in html
    assert "<b>" not in html
    assert "<i>" not in html


# Views


@pytest.fixture(params=[(3, 4, 5, 8), (1, 1, 1, 4), (2, 1, 6, 5)], ids=str)
def graph(request: pytest.FixtureRequest) -> TokenGraph:
    return build_graph(tokens(request.param), 0.6)


def weighted(graph: TokenGraph) -> dict[tuple[int, int], float]:
    return dict(zip(pairs(graph), graph.edges.weight.tolist(), strict=True))


def families(graph: TokenGraph) -> dict[tuple[int, int], str]:
    return dict(zip(pairs(graph), (FAMILIES[f] for f in graph.edge_family.tolist()), strict=True))


def places(graph: TokenGraph) -> dict[int, tuple[int, int, int]]:
    return {node: graph.grid.position(node) for node in range(graph.n_nodes)}


def test_networkx_view(graph: TokenGraph) -> None:
    view = graph.to_networkx()
    assert list(view.nodes) == list(range(graph.n_nodes))
    assert {tuple(sorted((a, b))): w for a, b, w in view.edges(data="weight")} == weighted(graph)
    assert {i: (n["t"], n["y"], n["x"]) for i, n in view.nodes(data=True)} == places(graph)
    assert {tuple(sorted((a, b))): f for a, b, f in view.edges(data="family")} == families(graph)


def test_igraph_view(graph: TokenGraph) -> None:
    view = graph.to_igraph()
    assert view.vcount() == graph.n_nodes
    assert not view.is_directed()
    assert dict(zip(view.get_edgelist(), view.es["weight"], strict=True)) == weighted(graph)
    assert {v.index: (v["t"], v["y"], v["x"]) for v in view.vs} == places(graph)
    assert dict(zip(view.get_edgelist(), view.es["family"], strict=True)) == families(graph)


def test_scipy_view(graph: TokenGraph) -> None:
    view = graph.to_scipy()
    assert (view.shape, view.dtype) == ((graph.n_nodes, graph.n_nodes), np.float32)
    expected = np.zeros(view.shape, np.float32)
    for (i, j), w in weighted(graph).items():
        expected[i, j] = expected[j, i] = w
    np.testing.assert_array_equal(view.toarray(), expected)


@pytest.mark.parametrize("library", ["pyarrow", "pandas"])
def test_table_views(graph: TokenGraph, library: str) -> None:
    pytest.importorskip(library)
    columns = graph.to_arrow().to_pydict() if library == "pyarrow" else graph.to_pandas().to_dict("list")
    assert list(columns) == ["src", "dst", "weight", "family", "t", "y", "x"]
    assert dict(zip(zip(columns["src"], columns["dst"], strict=True), columns["weight"], strict=True)) == weighted(
        graph
    )
    assert columns["family"] == [FAMILIES[f] for f in graph.edge_family.tolist()]
    at = [graph.grid.position(i) for i in graph.edges.src.tolist()]
    assert list(zip(columns["t"], columns["y"], columns["x"], strict=True)) == at


@pytest.mark.parametrize(
    ("view", "module", "extra"),
    [
        ("to_arrow", "pyarrow", "arrow"),
        ("to_pandas", "pandas", "pandas"),
        ("to_cudf", "cudf", "cuda13"),
        ("to_cugraph", "cugraph", "cuda13"),
    ],
)
def test_view_without_its_library(view: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError) as caught:
        getattr(build_graph(tokens()), view)()
    assert f"{view}() needs the package" in str(caught.value)
    assert f"pip install -e '.[{extra}]'" in str(caught.value)
    assert isinstance(caught.value, ImportError)
