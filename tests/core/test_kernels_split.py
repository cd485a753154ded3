"""Cutting oversized groups: connected pieces within the cap, and nothing else touched."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from math import ceil
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph.kernels.cpu.tree_split import split_trees

Array = np.ndarray[Any, Any]
Edge = tuple[int, int]


def split(edges: Iterable[Edge], labels: Array, cap: int) -> Array:
    pairs = np.array(sorted(edges), dtype=np.int32).reshape(-1, 2)
    sizes = np.bincount(labels)
    return split_trees(pairs[:, 0].copy(), pairs[:, 1].copy(), labels.astype(np.int32), sizes, cap)


def inside(edges: Iterable[Edge], labels: Array) -> list[Edge]:
    return [(i, j) for i, j in edges if labels[i] == labels[j]]


def check_laws(edges: Iterable[Edge], labels: Array, cap: int) -> Array:
    """The pieces, after checking what every split promises."""
    pieces = split(edges, labels, cap)
    before, after = oracles.groups(labels), oracles.groups(pieces)
    assert pieces.shape == labels.shape
    for members in before.values():
        if len(members) <= cap:  # only oversized groups change
            assert members in after.values()
    # Within a group that was connected, so is every piece; otherwise a piece lies within one component of it.
    connected = oracles.components(len(labels), inside(edges, labels))
    parts = oracles.components(len(labels), inside(edges, pieces))
    for members in after.values():
        assert len(members) <= cap
        assert len(set(labels[members])) == 1
        if len(before[labels[members[0]]]) > cap:
            assert len(set(connected[members])) == 1
            assert len(set(parts[members])) == 1
    return pieces


def path(n: int) -> list[Edge]:
    return [(i, i + 1) for i in range(n - 1)]


def star(n: int) -> list[Edge]:
    return [(0, i) for i in range(1, n)]


def outer_star(n: int) -> list[Edge]:
    """A star whose centre comes last, so that the tree starts at a leaf."""
    return [(i, n - 1) for i in range(n - 1)]


def clique(n: int) -> list[Edge]:
    return list(combinations(range(n), 2))


def lattice(n: int) -> list[Edge]:
    return [(i, j) for i, j, _ in oracles.lattice(n, 3, 2)]


def binary_tree(n: int) -> list[Edge]:
    return [((i - 1) // 2, i) for i in range(1, n)]


GRAPHS = (path, star, outer_star, clique, lattice, binary_tree)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda g: g.__name__)
def test_one_group_under_every_cap(graph: Any, n: int) -> None:
    edges = graph(n)
    n_nodes = max((j for _, j in edges), default=0) + 1
    for cap in range(1, n_nodes + 2):
        pieces = check_laws(edges, np.zeros(n_nodes, np.int64), cap)
        assert len(set(pieces)) >= ceil(n_nodes / cap)


@pytest.mark.parametrize("cap", range(1, 31))
def test_a_path_needs_no_more_pieces_than_the_least(cap: int) -> None:
    pieces = check_laws(path(30), np.zeros(30, np.int64), cap)
    assert len(set(pieces)) == ceil(30 / cap)


@pytest.mark.parametrize("n", [2, 9, 10, 100])
def test_a_star_loses_leaves_one_by_one(n: int) -> None:
    for cap in (1, 2, n - 1):
        sizes = np.bincount(oracles.canonical(check_laws(star(n), np.zeros(n, np.int64), cap)))
        assert sorted(sizes) == [1] * (n - cap) + [cap]


def test_smallest_branches_are_kept_together() -> None:
    # Node 0 with branches of 5, 1, 1 and 4 nodes: under a cap of 7 the two leaves and the branch of 4 stay.
    edges = [(0, 1), (0, 6), (0, 7), (0, 8), *((i, i + 1) for i in (1, 2, 3, 4, 8, 9, 10))]
    pieces = check_laws(edges, np.zeros(12, np.int64), 7)
    assert sorted(oracles.groups(pieces).values()) == [[0, 6, 7, 8, 9, 10, 11], [1, 2, 3, 4, 5]]


def test_many_branches_of_every_size() -> None:
    # More than eight children, which the merge sort takes in several runs; branch b is a path of b nodes.
    edges, n = [], 1
    for length in np.random.default_rng(0).permutation(np.arange(1, 41)):
        edges += [(0, n), *((i, i + 1) for i in range(n, n + length - 1))]
        n += length
    sizes = np.bincount(oracles.canonical(check_laws(edges, np.zeros(n, np.int64), 100)))
    # 1 + 2 + ... + 13 = 91 fit beside the root; the 14th does not, nor does any longer one.
    assert sorted(sizes) == [*range(14, 41), 92]


@st.composite
def grouped_graphs(draw: st.DrawFn) -> tuple[list[Edge], Array, int]:
    n = draw(st.integers(1, 40))
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] < p[1])
    edges = sorted(draw(st.sets(pair, max_size=80))) if n > 1 else []
    labels = oracles.canonical(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    return edges, labels, draw(st.integers(1, n + 1))


@settings(deadline=None, max_examples=150)
@given(case=grouped_graphs())
def test_any_graph_any_groups_any_cap(case: tuple[list[Edge], Array, int]) -> None:
    pieces = check_laws(*case)
    np.testing.assert_array_equal(pieces, split(*case))  # the same again
