"""Edge lists out of other libraries' graphs: round trips, names and the way back, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import igraph
import networkx as nx
import numpy as np
import pytest
import scipy.sparse
from feature_zoo import features
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import ZOO

from stgraph import EdgeList, TokenGraph, VideoTokens, build_graph, detect_communities
from stgraph.errors import InputError, MissingDependencyError

LIBRARIES = ("networkx", "igraph", "scipy", "pandas", "arrow")
each_library = pytest.mark.parametrize("library", LIBRARIES)
NEEDS = {"pandas": "pandas", "arrow": "pyarrow"}


def there_and_back(edges: EdgeList | TokenGraph, library: str) -> EdgeList:
    if library in NEEDS:
        pytest.importorskip(NEEDS[library])
    back: EdgeList = getattr(EdgeList, f"from_{library}")(getattr(edges, f"to_{library}")())
    return back


def same(a: EdgeList, b: EdgeList) -> bool:
    return (
        (a.n_nodes, a.names) == (b.n_nodes, b.names)
        and (b.src.dtype, b.dst.dtype, b.weight.dtype) == (np.int32, np.int32, np.float32)
        and all(x.tobytes() == y.tobytes() for x, y in ((a.src, b.src), (a.dst, b.dst), (a.weight, b.weight)))
    )


@st.composite
def graphs(draw: st.DrawFn) -> EdgeList:
    """Any small graph, isolated nodes and negative weights included, some with names."""
    n = draw(st.integers(0, 12))
    every = [(i, j) for i in range(n) for j in range(i + 1, n)]
    chosen = draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    weights = draw(st.lists(st.floats(-1, 1, width=32), min_size=len(chosen), max_size=len(chosen)))
    names = draw(st.none() | st.lists(st.text(min_size=1, max_size=5), min_size=n, max_size=n, unique=True))
    src, dst = np.array(chosen, int).reshape(-1, 2).T
    return EdgeList.from_arrays(n, src, dst, weights, names=names)


@each_library
@settings(deadline=None, max_examples=60)
@given(edges=graphs())
def test_a_graph_comes_back_as_it_was(library: str, edges: EdgeList) -> None:
    if library == "scipy":  # a matrix has no names
        edges = EdgeList(edges.n_nodes, edges.src, edges.dst, edges.weight)
    assert same(edges, there_and_back(edges, library))


@each_library
@pytest.mark.parametrize("shape", ZOO)
def test_the_zoo_comes_back(library: str, shape: str) -> None:
    edges = ZOO[shape]()
    assert same(edges, there_and_back(edges, library))


@each_library
@pytest.mark.parametrize("tau", [-1.0, 0.5])
def test_a_token_graph_comes_back_as_its_edges(library: str, tau: float) -> None:
    graph = build_graph(VideoTokens.from_array(features((3, 4, 5, 8))), tau)
    plain = EdgeList(60, graph.edges.src, graph.edges.dst, graph.edges.weight)
    for source in (graph, graph.edges):
        assert same(plain, there_and_back(source, library))


# Names


def test_networkx_nodes_in_any_order_keep_their_numbers() -> None:
    edges = EdgeList.from_networkx(nx.Graph([(2, 0), (0, 1)]))
    assert (edges.names, list(edges)) == (None, [(0, 1, 1.0), (0, 2, 1.0)])


@pytest.mark.parametrize(
    "nodes", [["a", "b", "c"], [10, 20, 30], [(0, 1), (2, 3), (4, 5)], [0.5, 0.0, 2.0], [1, "1", 2]]
)
def test_networkx_names_lead_back(nodes: list[Any]) -> None:
    graph = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edge(nodes[2], nodes[0], weight=0.5)
    edges = EdgeList.from_networkx(graph)
    assert edges.names == tuple(nodes)
    assert list(edges) == [(0, 2, 0.5)]
    assert nx.utils.graphs_equal(edges.to_networkx(), graph)
    parts = detect_communities(edges)
    assert [[edges.names[i] for i in members] for members in parts] == [[nodes[0], nodes[2]], [nodes[1]]]


def test_names_stay_with_a_subgraph_and_a_copy() -> None:
    edges = EdgeList.from_arrays(4, [0, 1, 2], [1, 2, 3], names="abcd")
    assert edges.subgraph(np.array([1, 3])).names == ("b", "d")
    assert edges.to("cpu").names == tuple("abcd")


@pytest.mark.parametrize("library", ["pandas", "arrow"])
def test_tables_of_names(library: str) -> None:
    module = pytest.importorskip(NEEDS[library])
    columns = {"from": ["b", "a"], "to": ["a", "c"], "w": [1.0, 2.0]}
    table = module.DataFrame(columns) if library == "pandas" else module.table(columns)
    read = getattr(EdgeList, f"from_{library}")
    found = read(table, "from", "to", "w")
    assert (found.names, list(found)) == (("b", "a", "c"), [(0, 1, 1.0), (1, 2, 2.0)])
    found = read(table, "from", "to", "w", nodes=["a", "b", "c", "d"])
    assert (found.n_nodes, list(found)) == (4, [(0, 1, 1.0), (0, 2, 2.0)])
    assert list(read(table, "from", "to", None))[1][2] == 1.0
    with pytest.raises(InputError, match="an edge ends at 'b', which is not among the 2 nodes"):
        read(table, "from", "to", nodes=["a", "c"])
    with pytest.raises(InputError, match="nodes is 3, but the endpoints are names"):
        read(table, "from", "to", nodes=3)


@pytest.mark.parametrize("library", ["pandas", "arrow"])
def test_tables_of_ids(library: str) -> None:
    module = pytest.importorskip(NEEDS[library])
    columns = {"src": [0, 4], "dst": [1, 2]}
    table = module.DataFrame(columns) if library == "pandas" else module.table(columns)
    read = getattr(EdgeList, f"from_{library}")
    assert (read(table).n_nodes, read(table, nodes=9).n_nodes) == (5, 9)
    assert list(read(table)) == [(0, 1, 1.0), (2, 4, 1.0)]
    with pytest.raises(InputError, match=r"edge 1 is \(4, 2\) .* nodes in 0..3"):
        read(table, nodes=4)


def test_columns_of_pandas_and_arrow_are_arrays() -> None:
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    for column in (pandas.Series, pyarrow.array, lambda x: pyarrow.chunked_array([x])):
        found = EdgeList.from_arrays(4, column([2, 0]), column([1, 1]), column([0.5, 0.25]))
        assert list(found) == [(0, 1, 0.25), (1, 2, 0.5)]


def test_a_table_that_was_filtered_keeps_its_nodes() -> None:
    pytest.importorskip("pandas")
    frame = EdgeList.from_arrays(6, [0, 4], [1, 5], [0.5, 0.9]).to_pandas()
    assert EdgeList.from_pandas(frame[frame.weight < 0.7]).n_nodes == 6


# Weights


def test_an_unweighted_graph_counts_each_edge_once() -> None:
    for found in (EdgeList.from_networkx(nx.path_graph(4)), EdgeList.from_igraph(igraph.Graph.Ring(4, circular=False))):
        assert found.weight.tolist() == [1, 1, 1]


def test_another_attribute_is_the_weight() -> None:
    graph = nx.Graph()
    graph.add_edge(0, 1, weight=0.5, cost=3)
    assert [EdgeList.from_networkx(graph, weight=w).weight[0] for w in ("weight", "cost", None)] == [0.5, 3, 1]


def half_weighted() -> Any:
    graph = nx.Graph([("a", "b")])
    graph.add_edge("b", "c", weight=1.0)
    return graph


def weighted(value: Any) -> Any:
    graph = nx.Graph()
    graph.add_edge("a", "b", weight=value)
    return graph


def matrix(rows: Any) -> Any:
    return scipy.sparse.csr_array(np.array(rows, float))


def frame(**columns: Any) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def names_of_a_ring(names: str) -> Any:
    ring = igraph.Graph.Ring(3)
    ring.vs["name"] = list(names)
    return ring


REFUSED: dict[str, tuple[Any, str]] = {
    "directed networkx": (lambda: EdgeList.from_networkx(nx.DiGraph([(0, 1)])), "directed.*to_undirected"),
    "networkx multigraph": (lambda: EdgeList.from_networkx(nx.MultiGraph([(0, 1)])), "multigraph.*networkx.Graph"),
    "networkx loop": (lambda: EdgeList.from_networkx(nx.Graph([("a", "a")])), r"edge 0 is \('a', 'a'\).*two different"),
    "a weight missing": (
        lambda: EdgeList.from_networkx(half_weighted()),
        r"1 of 2 edges have no 'weight', first \('a', 'b'\).*weight=None",
    ),
    "no weight, though named": (lambda: EdgeList.from_networkx(nx.path_graph(3), weight="weight"), "2 of 2 edges"),
    "weight NaN": (lambda: EdgeList.from_networkx(weighted(float("nan"))), r"\('a', 'b'\) with weight nan"),
    "weight a word": (lambda: EdgeList.from_networkx(weighted("heavy")), "weight 'heavy'; weights are real"),
    "weight a truth": (lambda: EdgeList.from_networkx(weighted(True)), "weight True; weights are real"),
    "not networkx": (lambda: EdgeList.from_networkx([(0, 1)]), "from_networkx got list; pass a networkx.Graph"),
    "directed igraph": (lambda: EdgeList.from_igraph(igraph.Graph([(0, 1)], directed=True)), "as_undirected"),
    "igraph parallel": (lambda: EdgeList.from_igraph(igraph.Graph([(0, 1), (1, 0)])), "parallel edges.*simplify"),
    "igraph loop": (lambda: EdgeList.from_igraph(igraph.Graph([(0, 0)])), "self-loops.*simplify"),
    "igraph attribute": (lambda: EdgeList.from_igraph(igraph.Graph.Ring(3), weight="w"), "no attribute 'w'.*none"),
    "igraph names": (lambda: EdgeList.from_igraph(names_of_a_ring("aba")), "nodes 0 and 2 are both called 'a'"),
    "not igraph": (lambda: EdgeList.from_igraph(nx.path_graph(2)), "from_igraph got Graph; pass an igraph.Graph"),
    "directed matrix": (
        lambda: EdgeList.from_scipy(matrix([[0, 1, 0], [1, 0, 2], [0, 0, 0]])),
        r"not symmetric: entry \(1, 2\) and entry \(2, 1\).*m \+ m.T",
    ),
    "one triangle": (lambda: EdgeList.from_scipy(matrix([[0, 1], [0, 0]])), r"entry \(0, 1\) and entry \(1, 0\)"),
    "unequal halves": (lambda: EdgeList.from_scipy(matrix([[0, 1], [2, 0]])), r"entry \(0, 1\) and entry \(1, 0\)"),
    "matrix loop": (lambda: EdgeList.from_scipy(matrix([[0, 1], [1, 3]])), r"entry \(1, 1\) is 3.0, a self-loop"),
    "matrix NaN": (lambda: EdgeList.from_scipy(matrix([[0, np.nan], [np.nan, 0]])), "weight nan"),
    "oblong matrix": (lambda: EdgeList.from_scipy(matrix([[0, 1]])), r"shape \(1, 2\).*square"),
    "dense matrix": (lambda: EdgeList.from_scipy(np.zeros((2, 2))), "got ndarray.*csr_array"),
    "complex matrix": (lambda: EdgeList.from_scipy(matrix([[0]]).astype(complex)), "complex128; weights are real"),
    "no such column": (lambda: EdgeList.from_pandas(frame(a=[0], b=[1])), "no column 'src'; it has: a, b.*source="),
    "no such weight": (lambda: EdgeList.from_pandas(frame(src=[0], dst=[1]), weight="w"), "no column 'w'"),
    "an end missing": (
        lambda: EdgeList.from_pandas(frame(src=[0, None], dst=[1, 2])),
        "'src' is missing in 1 of 2 rows, first in row 1",
    ),
    "a value missing": (
        lambda: EdgeList.from_pandas(frame(src=[0, 1], dst=[1, 2], weight=[None, 1.0])),
        "'weight' is missing in 1 of 2 rows, first in row 0",
    ),
    "fractional ids": (
        lambda: EdgeList.from_pandas(frame(src=[0.5], dst=[1.0])),
        "float64; they must be integers or names",
    ),
    "both directions": (
        lambda: EdgeList.from_pandas(frame(src=["a", "b"], dst=["b", "a"])),
        r"edge \('a', 'b'\) is given more than once",
    ),
    "not a frame": (lambda: EdgeList.from_pandas({"src": [0]}), "from_pandas got dict"),
    "not a table": (
        lambda: pytest.importorskip("pyarrow") and EdgeList.from_arrow([1]),
        "from_arrow got list; pass a pyarrow.Table",
    ),
    "too few names": (lambda: EdgeList.from_arrays(3, [], [], names=["a"]), "1 names for 3 nodes"),
    "names unhashable": (lambda: EdgeList.from_arrays(1, [], [], names=[[0]]), "a name cannot be used: .*unhashable"),  # type: ignore[list-item]
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    work, text = REFUSED[name]
    with pytest.raises(InputError, match=re.compile(text, re.DOTALL)):
        work()


def test_matrix_details() -> None:
    stored_zero = scipy.sparse.coo_array(([0.0, 0.0, 0.0], ([0, 1, 2], [1, 0, 2])), shape=(3, 3))
    assert list(EdgeList.from_scipy(stored_zero)) == [(0, 1, 0.0)]
    twice = scipy.sparse.coo_array(([1.0, 2.0, 3.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert list(EdgeList.from_scipy(twice)) == [(0, 1, 3.0)]  # as SciPy defines it
    assert EdgeList.from_scipy(matrix([[0, 1], [1, 0]]), names="ab").names == ("a", "b")


def test_arrow_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"from_arrow\(\) needs the package 'pyarrow'"):
        EdgeList.from_arrow(object())
