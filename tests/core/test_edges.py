"""Edge lists of arbitrary arrays: what is accepted, what is refused, and parts of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph import EdgeList
from stgraph.errors import InputError


@st.composite
def edge_sets(draw: st.DrawFn) -> tuple[int, dict[tuple[int, int], float]]:
    n = draw(st.integers(2, 20))
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] < p[1])
    weight = st.floats(-10, 10, width=32)
    return n, draw(st.dictionaries(pair, weight, max_size=40))


def as_dict(edges: EdgeList) -> dict[tuple[int, int], float]:
    return dict(zip(zip(edges.src.tolist(), edges.dst.tolist(), strict=True), edges.weight.tolist(), strict=True))


@settings(deadline=None, max_examples=100)
@given(case=edge_sets(), data=st.data())
def test_order_and_direction_of_the_input_do_not_matter(
    case: tuple[int, dict[tuple[int, int], float]], data: st.DataObject
) -> None:
    n, expected = case
    listed = data.draw(st.permutations(list(expected.items())))
    turned = [(b, a) if data.draw(st.booleans()) else (a, b) for (a, b), _ in listed]
    weights = np.array([w for _, w in listed], dtype=np.float32)
    edges = EdgeList.from_arrays(n, [a for a, _ in turned], [b for _, b in turned], weights)
    assert as_dict(edges) == expected
    assert list(as_dict(edges)) == sorted(expected)
    assert (edges.n_nodes, edges.n_edges) == (n, len(expected))
    assert (edges.src.dtype, edges.dst.dtype, edges.weight.dtype) == (np.int32, np.int32, np.float32)
    degrees = [sum(i in pair for pair in expected) for i in range(n)]
    assert edges.degrees().tolist() == degrees


@settings(deadline=None, max_examples=100)
@given(case=edge_sets(), data=st.data())
def test_subgraph_keeps_the_edges_among_its_nodes(
    case: tuple[int, dict[tuple[int, int], float]], data: st.DataObject
) -> None:
    n, weighted = case
    nodes = sorted(data.draw(st.sets(st.integers(0, n - 1))))
    edges = EdgeList.from_arrays(n, *np.array(list(weighted), dtype=int).reshape(-1, 2).T, list(weighted.values()))
    part = edges.subgraph(np.array(nodes, dtype=np.int64))
    place = {node: i for i, node in enumerate(nodes)}
    inside = {(place[a], place[b]): w for (a, b), w in weighted.items() if a in place and b in place}
    assert as_dict(part) == inside
    assert list(as_dict(part)) == sorted(inside)
    assert part.n_nodes == len(nodes)


def test_weights_default_to_one() -> None:
    assert EdgeList.from_arrays(3, [0, 1], [1, 2]).weight.tolist() == [1, 1]


def test_no_edges_and_no_nodes() -> None:
    assert EdgeList.from_arrays(5, [], []).degrees().tolist() == [0] * 5
    assert EdgeList.from_arrays(0, [], []).n_edges == 0


def test_repr() -> None:
    assert repr(EdgeList.from_arrays(2000, [0, 1], [1, 2])) == "EdgeList(2,000 nodes, 2 edges)"


@pytest.mark.parametrize(
    ("src", "dst", "weight", "message"),
    [
        ([0, 1], [1], None, "src, dst and weight have 2, 1 and 2 entries"),
        ([0, 1], [1, 2], [0.5], "src, dst and weight have 2, 2 and 1 entries"),
        ([0, 1], [1, 4], None, r"edge 1 is \(1, 4\) .* nodes in 0..3"),
        ([0, -1], [1, 2], None, r"edge 1 is \(-1, 2\)"),
        ([2], [2], None, r"edge 0 is \(2, 2\)"),
        ([0, 1], [1, 2], [1.0, np.nan], r"edge 1 is \(1, 2\) with weight nan"),
        ([0, 1], [1, 2], [np.inf, 1.0], r"edge 0 is \(0, 1\) with weight inf"),
        ([0, 1, 3], [1, 2, 2], [1.0, -np.inf, 1.0], r"edge 1 is \(1, 2\) with weight -inf"),
        ([0, 2, 1], [1, 3, 0], None, r"edge \(0, 1\) is given more than once"),
        ([2**40], [1], None, rf"edge 0 is \({2**40}, 1\)"),
    ],
)
def test_bad_edges_are_refused(src: Any, dst: Any, weight: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EdgeList.from_arrays(4, src, dst, weight)


@pytest.mark.parametrize("n_nodes", [-1, 2**31, 2.0, "4", None])
def test_bad_numbers_of_nodes_are_refused(n_nodes: Any) -> None:
    with pytest.raises(InputError, match="n_nodes is"):
        EdgeList.from_arrays(n_nodes, [], [])
