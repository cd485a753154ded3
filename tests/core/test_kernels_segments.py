"""The segmentation kernel beside a plain restatement."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from zoo import ZOO, lattice, sample

from stgraph import EdgeList
from stgraph.kernels.cpu.components import connected_components
from stgraph.kernels.cpu.segments import segment_labels

Array = np.ndarray[Any, Any]


def found(edges: EdgeList, scale: float, **options: Any) -> Array:
    return segment_labels(edges.n_nodes, edges.src, edges.dst, edges.weight, scale, **options)


def restated(edges: EdgeList, scale: float, min_size: int = 1, max_size: int | None = None) -> Array:
    """Sets of nodes, joined edge by edge."""
    segment = [{node} for node in range(edges.n_nodes)]
    inside = [np.float32(0)] * edges.n_nodes
    order = sorted(range(edges.n_edges), key=lambda e: (-edges.weight[e], e))
    cap = max_size or edges.n_nodes

    def join(a: set[int], b: set[int]) -> set[int]:
        joined = a | b
        for node in joined:
            segment[node] = joined
        return joined

    for e in order:
        a, b = segment[edges.src[e]], segment[edges.dst[e]]
        if a is b or len(a) + len(b) > cap:
            continue
        apart = np.float32(1) - edges.weight[e]
        if apart <= min(inside[min(s)] + np.float32(scale) / np.float32(len(s)) for s in (a, b)):
            inside[min(join(a, b))] = apart
    for e in order:
        a, b = segment[edges.src[e]], segment[edges.dst[e]]
        if a is not b and min(len(a), len(b)) < min_size and len(a) + len(b) <= cap:
            join(a, b)
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(min(s), len(numbers)) for s in segment], np.int64)


@pytest.mark.parametrize("name", [name for name in ZOO if name != "sample"])
def test_as_restated(name: str) -> None:
    edges = ZOO[name]()
    for scale, min_size, max_size in product((0.0, 0.2, 2.0), (1, 4), (None, 6)):
        ours = found(edges, scale, min_size=min_size, max_size=max_size)
        np.testing.assert_array_equal(ours, restated(edges, scale, min_size, max_size))


@pytest.mark.parametrize("seed", range(4))
def test_similarities_of_either_sign(seed: int) -> None:
    edges = lattice((3, 5, 4), seed)
    rng = np.random.default_rng(seed)
    weight = np.round(rng.uniform(-1, 1, edges.n_edges), 1).astype(np.float32)  # ties, and both zeros
    weight[weight == 0] = rng.choice(np.array([0.0, -0.0], np.float32), int((weight == 0).sum()))
    edges = EdgeList(edges.n_nodes, edges.src, edges.dst, weight)
    np.testing.assert_array_equal(found(edges, 1.5), restated(edges, 1.5))


def test_segments_are_connected_and_grow_with_the_scale() -> None:
    edges = sample(10, -1.0)
    counts = []
    for scale in (0.0, 0.1, 0.5, 2.0):
        labels = found(edges, scale)
        inside = labels[edges.src] == labels[edges.dst]
        pieces, count = connected_components(edges.n_nodes, edges.src[inside], edges.dst[inside])
        np.testing.assert_array_equal(labels, pieces)
        counts.append(count)
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]
