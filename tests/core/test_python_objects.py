"""What Python's own functions say of tokens, graphs, edge lists, partitions and selections."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from clips import clip
from feature_zoo import DTYPES, features, newline_per_row

import stgraph
from stgraph import EdgeList, Partition, Selection, TokenGraph, TokenGrid, VideoTokens
from stgraph.errors import InputError

SHAPE = (3, 4, 5)


@pytest.fixture(scope="module")
def tokens() -> VideoTokens:
    return clip()


@pytest.fixture(scope="module")
def graph(tokens: VideoTokens) -> TokenGraph:
    return stgraph.build_graph(tokens)


@pytest.fixture(scope="module")
def parts(graph: TokenGraph) -> Partition:
    return stgraph.detect_communities(graph)


@pytest.fixture(scope="module")
def kept(tokens: VideoTokens) -> Selection:
    return stgraph.selector("st-simdiff", retain_ratio=0.3).select(tokens)


@pytest.fixture(params=["tokens", "graph", "edges", "parts", "kept", "grid"])
def result(request: pytest.FixtureRequest, tokens: VideoTokens, graph: TokenGraph, parts: Partition, kept: Any) -> Any:
    return {"tokens": tokens, "graph": graph, "edges": graph.edges, "parts": parts, "kept": kept, "grid": tokens.grid}[
        request.param
    ]


# Tokens


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tokens_are_their_rows(dtype: Any) -> None:
    kind = newline_per_row(*SHAPE)
    lined = VideoTokens(features((kind.size, 7), dtype), TokenGrid(*SHAPE, kind))
    whole = VideoTokens.from_array(features((*SHAPE, 7), dtype))
    for given, n in ((lined, kind.size), (whole, 60)):
        array = np.asarray(given)
        assert (len(given), array.shape, array.dtype) == (n, (n, 7), dtype)
        assert np.shares_memory(array, given.features)
        assert all(np.array_equal(a, b) for a, b in zip(given, array, strict=True))
    assert np.asarray(whole, np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(whole), whole.features)


def test_tokens_that_need_a_copy_say_so() -> None:
    turned = VideoTokens.from_array(features((5, 4, 3, 7)).transpose(2, 1, 0, 3))
    assert np.asarray(turned).tolist() == turned.lattice.reshape(-1, 7).tolist()
    with pytest.raises(ValueError, match="copy"):
        np.asarray(turned, copy=False)


# Graphs


def test_a_graph_is_its_nodes(graph: TokenGraph) -> None:
    assert len(graph) == graph.n_nodes
    assert list(graph) == list(range(graph.n_nodes)) == list(graph.to_networkx())
    assert [node in graph for node in (0, graph.n_nodes - 1, np.int64(3), graph.n_nodes, -1, "a")] == [True] * 3 + [
        False
    ] * 3
    with pytest.raises(InputError, match=r"several arrays: graph.similarity .* graph.to_scipy\(\)"):
        np.asarray(graph)


def test_an_edge_list_is_its_edges(graph: TokenGraph) -> None:
    edges = graph.edges
    assert len(edges) == edges.n_edges == len(list(edges))
    rows = np.asarray(edges)
    assert (rows.shape, rows.dtype) == ((len(edges), 3), np.float64)
    assert rows.tolist() == [list(row) for row in edges]
    a, b, weight = next(iter(edges))
    assert (type(a), type(b), type(weight)) == (int, int, float)
    assert all(edge in edges and edge[:2] in edges and edge[1::-1] in edges for edge in edges)
    absent = [(0, 0), (a, b, weight + 1), (a,), "ab", 3, ("a", "b"), None]
    assert [edge in edges for edge in absent] == [False] * len(absent)
    assert np.asarray(edges, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="combined in a copy"):
        np.asarray(edges, copy=False)


# Partitions


def test_a_partition_is_its_communities(parts: Partition) -> None:
    assert len(parts) == parts.n_communities
    communities = list(parts)
    assert [len(members) for members in communities] == parts.sizes.tolist()
    assert all(np.array_equal(members, parts[c]) for c, members in enumerate(communities))
    assert sorted(i for members in parts for i in members.tolist()) == list(range(parts.n_nodes))
    np.testing.assert_array_equal(np.asarray(parts), parts.labels)
    assert not np.shares_memory(np.asarray(parts), parts.labels)
    with pytest.raises(InputError, match="community -1 does not exist"):
        parts[-1]
    with pytest.raises(InputError, match=r"whether 3 is in a partition .* parts.labels\[token\]"):
        3 in parts  # noqa: B015 (the question is what is refused)


# Selections


def test_a_selection_is_its_indices(kept: Selection, tokens: VideoTokens) -> None:
    array = np.asarray(kept)
    assert (array.dtype, array.shape) == (np.int64, (len(kept),))
    array[0] += 1  # a copy: no consumer changes a selection
    assert np.asarray(kept).tolist() == kept.indices.tolist() != array.tolist()
    assert np.shares_memory(np.asarray(kept, copy=False), kept.indices)
    array = np.asarray(kept)
    assert list(kept) == array.tolist() == [kept[i] for i in range(len(kept))]
    assert (kept[-1], kept[2:4].tolist()) == (array[-1], array[2:4].tolist())
    assert all(type(i) is int for i in kept)
    assert [i in kept for i in range(len(tokens))] == np.isin(np.arange(len(tokens)), array).tolist()
    assert ("a" in kept, np.int64(array[0]) in kept) == (False, True)
    np.testing.assert_array_equal(np.asarray(tokens)[kept], kept.gather(tokens.features))
    with pytest.raises(IndexError):
        kept[len(kept)]


def test_a_selection_indexes_tensors(kept: Selection, tokens: VideoTokens) -> None:
    torch = pytest.importorskip("torch")
    rows = torch.from_numpy(np.asarray(tokens))
    assert torch.equal(rows[torch.as_tensor(kept)], torch.from_numpy(kept.gather(np.asarray(tokens))))
    assert torch.as_tensor(kept).dtype == torch.int64


# What is not tokens or a graph


@pytest.mark.parametrize("name", ["st-simdiff", "uniform", "fastv"])
def test_selectors_take_tokens(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name} got ndarray; pass VideoTokens, e.g. .*from_array\(x\)"):
        stgraph.selector(name, retain_ratio=0.3).select(features((2, 3, 4, 5)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["keep", "view", "compare"])
def test_what_reads_tokens_says_what_to_pass(name: str) -> None:
    with pytest.raises(InputError, match=rf"^{name} got ndarray; pass VideoTokens, e.g. .*from_array\(x\)"):
        getattr(stgraph, name)(features((2, 3, 4, 5)), "uniform")


def test_graphs_of_other_libraries_are_told_the_way_in(graph: TokenGraph) -> None:
    for library in ("networkx", "igraph", "scipy"):
        with pytest.raises(InputError, match=rf"pass a TokenGraph or an EdgeList: EdgeList.from_{library}\(...\)"):
            stgraph.detect_communities(getattr(graph, f"to_{library}")())
    with pytest.raises(InputError, match=r"got VideoTokens; pass a TokenGraph or an EdgeList: build_graph\(tokens\)"):
        stgraph.detect_communities(clip())  # type: ignore[arg-type]


# All of them


def test_a_result_is_true_even_where_it_is_empty(result: Any) -> None:
    assert result
    nothing = EdgeList.from_arrays(0, [], [])
    assert nothing
    assert stgraph.detect_communities(nothing)
    assert (len(nothing), len(stgraph.detect_communities(nothing)), np.asarray(nothing).shape) == (0, 0, (0, 3))


def test_results_are_copied_and_pickled(result: Any) -> None:
    for again in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert type(again) is type(result)
        assert repr(again) == repr(result)


SLIPS = {
    "tokens": ("feature", "features"),
    "graph": ("egdes", "edges"),
    "edges": ("wieght", "weight"),
    "parts": ("lables", "labels"),
    "kept": ("indexes", "indices"),
    "grid": ("n_node", "n_nodes"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_a_misspelt_attribute_is_told_the_nearest(name: str, request: pytest.FixtureRequest) -> None:
    graph = request.getfixturevalue("graph")
    found = {"edges": graph.edges, "grid": graph.grid}.get(name) or request.getfixturevalue(name)
    slip, meant = SLIPS[name]
    with pytest.raises(AttributeError) as caught:
        getattr(found, slip)
    expected = f"'{type(found).__name__}' object has no attribute {slip!r}. Did you mean {meant!r}?"
    assert str(caught.value) == expected
    assert not hasattr(found, "_" + slip)


def test_what_hangs_on_results_and_selectors_is_spelt_too(parts: Partition, kept: Selection, graph: TokenGraph) -> None:
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3)
    slips = [
        (parts.provenance, "bakend", "backend"),
        (parts.quality(), "modularty", "modularity"),
        (kept.account, "n_input_", "n_input"),
        (graph.summary(), "n_edgs", "n_edges"),
        (selector, "analise", "analyse"),
        (selector, "tau_simm", "tau_sim"),
        (stgraph.selector("uniform", n_keep=3), "selct", "select"),
    ]
    for thing, slip, meant in slips:
        with pytest.raises(AttributeError, match=f"has no attribute '{slip}'. Did you mean '{meant}'"):
            getattr(thing, slip)
    with pytest.raises(AttributeError, match=r"'VideoTokens' object has no attribute 'shape'$"):
        clip().shape  # type: ignore[attr-defined]  # noqa: B018 (nothing near: nothing is suggested)


def test_a_misspelt_public_name_is_told_the_nearest() -> None:
    with pytest.raises(AttributeError) as caught:
        stgraph.build_grph  # type: ignore[attr-defined]  # noqa: B018
    assert str(caught.value) == "module 'stgraph' has no attribute 'build_grph'. Did you mean 'build_graph'?"
    with pytest.raises(AttributeError, match=r"has no attribute 'zzzzzz'$"):
        stgraph.zzzzzz  # type: ignore[attr-defined]  # noqa: B018


def test_an_error_inside_a_property_stays_itself() -> None:
    class Broken(EdgeList):
        @property
        def n_edges(self) -> int:
            return int(self.src.nonsense)

    with pytest.raises(AttributeError, match="nonsense"):
        Broken(0, np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32)).n_edges  # noqa: B018


# Arrays of other layouts


@pytest.mark.parametrize(
    ("shape", "grid", "found"),
    [
        ((3, 20, 7), (4, 5), SHAPE),
        ((3, 20, 7), (3, 4, 5), SHAPE),
        ((3, 20, 7), [4, 5], SHAPE),
        ((3, 20, 7), TokenGrid(3, 4, 5), SHAPE),
        ((60, 7), (3, 4, 5), SHAPE),
        ((60, 7), (4, 5), SHAPE),
        ((3, 4, 5, 7), (4, 5), SHAPE),
        ((3, 4, 5, 7), None, SHAPE),
        ((1, 1, 7), (1, 1), (1, 1, 1)),
    ],
)
def test_a_grid_says_how_tokens_lie(shape: Any, grid: Any, found: Any) -> None:
    x = features(shape)
    given = VideoTokens.from_array(x, grid=grid, importance=np.arange(np.prod(shape[:-1])))
    assert given.grid == TokenGrid(*found)
    np.testing.assert_array_equal(given.lattice.reshape(-1, 7), x.reshape(-1, 7))
    assert np.shares_memory(given.features, x)


def test_importance_per_frame() -> None:
    given = VideoTokens.from_array(features((3, 20, 7)), grid=(4, 5), importance=np.arange(60.0).reshape(3, 20))
    assert given.signal("importance").shape == SHAPE


def test_newlines_among_the_tokens_of_a_grid() -> None:
    kind = newline_per_row(*SHAPE)
    x = features((3, 24, 7))
    given = VideoTokens.from_array(x, grid=TokenGrid(*SHAPE, kind))
    np.testing.assert_array_equal(np.asarray(given.lattice).reshape(-1, 7), x.reshape(-1, 7)[kind == 0])


@pytest.mark.parametrize(
    ("shape", "grid", "message"),
    [
        ((3, 196, 7), None, r"shape \(3, 196, 7\); expected \[T, H, W, d\].*grid=\(H, W\), such as grid=\(14, 14\)"),
        ((3, 20, 7), None, r"say how the N tokens of a frame are arranged: grid=\(H, W\)$"),
        ((60, 7), None, r"expected \[T, H, W, d\].*grid=\(T, H, W\)"),
        ((3, 21, 7), (4, 5), r"63 tokens \(21 in each of 3 frames\), but grid 3x4x5 has 60.*class.*x\[:, 1:\]"),
        ((61, 7), (4, 5), r"61 tokens, but grid 3x4x5 has 60"),
        ((2, 30, 7), (3, 4, 5), r"but grid 3x4x5 has 60"),
        ((3, 4, 5, 7), (5, 4), r"features have shape \(3, 4, 5, 7\) but the grid is 3x5x4"),
        ((3, 20, 7), 20, r"grid is 20; give \(H, W\), \(T, H, W\) or a TokenGrid"),
        ((3, 20, 7), (4, 0), "grid axis W is 0"),
        ((420,), (4, 5), r"shape \(420,\); with grid= they are"),
    ],
)
def test_a_grid_that_does_not_fit(shape: Any, grid: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        VideoTokens.from_array(features(shape), grid=grid)
