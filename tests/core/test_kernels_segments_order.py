"""Why segmentation has no twin on a GPU: what may be done at once, and what must wait."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from zoo import ZOO, graph, path, sample

from stgraph import EdgeList, VideoTokens, build_graph
from stgraph.aliases import Array
from stgraph.bench.synthetic import synthetic_tokens
from stgraph.kernels.cpu.components import canonical_labels
from stgraph.kernels.cpu.segments import segment_labels

SCALE = 0.2  # the backend's default


def found(edges: EdgeList, scale: float, max_size: int | None = None) -> Array:
    return segment_labels(edges.n_nodes, edges.src, edges.dst, edges.weight, scale, max_size=max_size)


def in_rounds(edges: EdgeList, scale: float, max_size: int | None = None) -> tuple[Array, int]:
    """Labels, and how many rounds they take, if in a round every edge is decided that is the first of all edges left of
    both its segments. Nothing decided later can change either segment before its turn. A segment that refuses an edge
    refuses all that follow, for these are no more similar and it no longer grows."""
    n, cap, unit = edges.n_nodes, max_size or edges.n_nodes, np.float32(scale)
    order = np.argsort(-edges.weight, kind="stable")
    src, dst, apart = edges.src[order], edges.dst[order], np.float32(1) - edges.weight[order]
    turn = np.arange(order.size)
    labels, size, inside = np.arange(n), np.ones(n, np.float32), np.zeros(n, np.float32)
    closed, rounds = np.zeros(n, bool), 0
    while True:
        a, b = labels[src], labels[dst]
        left = (a != b) & ~closed[a] & ~closed[b] & (size[a] + size[b] <= cap)
        src, dst, apart, turn, a, b = (array[left] for array in (src, dst, apart, turn, a, b))
        if not turn.size:
            return canonical_labels(labels)[0], rounds
        rounds += 1
        first = np.full(n, order.size)
        np.minimum.at(first, np.concatenate([a, b]), np.concatenate([turn, turn]))
        due = (first[a] == turn) & (first[b] == turn)
        a, b, own = np.minimum(a, b)[due], np.maximum(a, b)[due], apart[due]
        refuses = [own > inside[one] + unit / size[one] for one in (a, b)]
        for one, refused in zip((a, b), refuses, strict=True):
            closed[one[refused]] = True
        joined = ~(refuses[0] | refuses[1])
        size[a[joined]] += size[b[joined]]
        inside[a[joined]] = own[joined]
        new = np.arange(n)
        new[b[joined]] = a[joined]
        labels = new[labels]


@cache
def synthetic() -> EdgeList:
    return build_graph(VideoTokens.from_array(synthetic_tokens(40, 16, 16, 128)), -1.0).edges


@pytest.mark.parametrize("max_size", [None, 5])
@pytest.mark.parametrize("scale", [0.0, 0.2, 2.0])
@pytest.mark.parametrize("name", [name for name in ZOO if name != "sample"])
def test_rounds_give_the_same_segments(name: str, scale: float, max_size: int | None) -> None:
    edges = ZOO[name]()
    np.testing.assert_array_equal(in_rounds(edges, scale, max_size)[0], found(edges, scale, max_size))


def test_hundreds_of_rounds_wait_for_one_another() -> None:
    """The figures of docs/backends.md."""
    for edges, told in ((sample(tau_sim=-1.0), 58), (synthetic(), 448)):
        labels, rounds = in_rounds(edges, SCALE)
        np.testing.assert_array_equal(labels, found(edges, SCALE))
        assert rounds == pytest.approx(told, abs=0.05 * told)  # processors round similarities differently


def test_the_spanning_tree_does_not_determine_the_segments() -> None:
    """Both neighbours of a closed segment are refused by it, then join each other by an edge that closes a cycle."""
    large = [(a + 2, b + 2) for a, b in path(8)]
    edges = graph(10, [*large, (0, 2), (1, 9), (0, 1)], [1.0] * 7 + [0.5, 0.5, 0.4])
    assert found(edges, 1.0).tolist() == [0, 0] + [1] * 8
    tree = (edges.src != 0) | (edges.dst != 1)  # all but the least similar edge of the only cycle
    alone = EdgeList(10, edges.src[tree], edges.dst[tree], edges.weight[tree])
    assert found(alone, 1.0).tolist() == [0, 1] + [2] * 8
