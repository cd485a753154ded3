"""Leiden on the GPU engine, in Triton's interpreter: connected, the same every time, of nearly the CPU's quality."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from lattices import noise_lattice
from launches import counted
from tensors import same, tensor
from zoo import bridged_cliques, graph, lattice, mixed

import stgraph
from stgraph import EdgeList
from stgraph.community.quality import cpm, modularity
from stgraph.kernels.cpu.components import connected_components
from stgraph.kernels.cpu.lattice_boxes import box_pieces
from stgraph.kernels.cpu.leiden import leiden as on_cpu
from stgraph.lattice_edges import LatticeEdges

pytestmark = pytest.mark.usefixtures("interpreter")
Array = np.ndarray[Any, Any]

TOLERANCE = 0.97  # of the CPU's quality, on graphs this small; 0.99 and more on larger ones
SMALL = {
    "tokens": lambda: LatticeEdges(np.abs(noise_lattice((3, 4, 5))), 0.2, (True, True, True)),
    "lattice": lambda: lattice((3, 4, 4), seed=3),
    "lattice with holes": lambda: lattice((3, 4, 4), share=0.6),
    "two cliques": bridged_cliques,
    "mixed": mixed,
}


def tensors(edges: EdgeList) -> tuple[Any, Any, Any]:
    return tensor(edges.src), tensor(edges.dst), tensor(edges.weight)


def lattice_of(edges: EdgeList) -> Any:
    """What the kernels take as the lattice, in arrays; None for other graphs."""
    return (edges.similarity, edges.tau, edges.switches) if isinstance(edges, LatticeEdges) else None


def found(edges: EdgeList, resolution: float, **options: Any) -> Array:
    from stgraph.kernels.gpu.leiden import leiden

    boxes = lattice_of(edges)
    boxes = boxes and (tensor(boxes[0]), *boxes[1:])
    labels: Array = leiden(edges.n_nodes, *tensors(edges), resolution, lattice=boxes, **options).numpy()
    return labels


def check(edges: EdgeList, labels: Array) -> None:
    """Canonical, and every community in one piece."""
    inside = labels[edges.src] == labels[edges.dst]
    pieces, count = connected_components(edges.n_nodes, edges.src[inside], edges.dst[inside])
    np.testing.assert_array_equal(labels, pieces)
    assert labels.dtype == np.int32 and count == labels.max() + 1


@pytest.mark.parametrize(("by_modularity", "resolution"), [(False, 0.05), (False, 0.3), (True, 1.0)])
@pytest.mark.parametrize("shape", SMALL)
def test_connected_and_of_nearly_the_quality_of_the_cpu(shape: str, by_modularity: bool, resolution: float) -> None:
    edges, value = SMALL[shape](), modularity if by_modularity else cpm
    labels = found(edges, resolution, modularity=by_modularity, n_iterations=2)
    check(edges, labels)
    theirs = on_cpu(
        edges.n_nodes, edges.src, edges.dst, edges.weight, resolution, modularity=by_modularity,
        lattice=lattice_of(edges),
    )  # fmt: skip
    assert value(edges, labels, resolution) >= TOLERANCE * value(edges, theirs, resolution)


def test_the_order_and_direction_of_edges_change_nothing() -> None:
    edges = SMALL["lattice"]()
    order = np.random.default_rng(0).permutation(edges.n_edges)
    first = found(edges, 0.1, n_iterations=1)
    for given in (edges, EdgeList(edges.n_nodes, edges.dst[order], edges.src[order], edges.weight[order])):
        np.testing.assert_array_equal(found(given, 0.1, n_iterations=1), first)


@pytest.mark.parametrize("cap", [1, 3])
def test_the_cap_holds_inside_the_search(cap: int) -> None:
    edges = SMALL["lattice"]()
    labels = found(edges, 0.05, n_iterations=1, max_size=cap)
    check(edges, labels)
    assert np.bincount(labels).max() == cap


def search_of(edges: EdgeList, gamma: float, labels: Any = None) -> Any:
    """A search from these communities, by default single nodes."""
    import torch

    from stgraph.kernels.gpu.leiden_rounds import Level, Search
    from stgraph.kernels.gpu.sums import merged_edges

    src, dst, weight = tensors(edges)
    row, neighbour, value = torch.cat([src, dst]), torch.cat([dst, src]), torch.cat([weight, weight])
    ones = torch.ones(edges.n_nodes, dtype=torch.float64)
    level = Level(*merged_edges(row.long(), neighbour.long(), value.double(), edges.n_nodes), ones, ones.long())
    single = torch.arange(edges.n_nodes, dtype=torch.int32)
    return Search(level, single if labels is None else labels, gamma, edges.n_nodes)


def test_no_round_lowers_the_quality() -> None:
    """Moves of a round share no community, so their gains add up; in the end no single move gains."""
    edges = lattice((2, 4, 4), seed=1)
    search, n_moves = search_of(edges, 0.1), 0
    labels = search.labels.numpy()
    while True:
        before = labels.copy()
        search.round()
        moved = np.flatnonzero(labels != before)
        touched = [*before[moved], *labels[moved]]
        assert len(set(touched)) == len(touched)
        gains = float(search._gain[moved].sum())
        assert cpm(edges, labels, 0.1) - cpm(edges, before, 0.1) == pytest.approx(gains, abs=1e-5)
        n_moves += len(moved)
        waits, told = search.state.tolist()
        assert told == n_moves
        assert bool(len(moved)) == bool((search._key > 0).any())
        if not waits and not n_moves:
            break
        if not waits:  # again, until all wait in vain
            search, n_moves = search_of(edges, 0.1, search.labels), 0
    value = cpm(edges, labels, 0.1)
    for node in range(edges.n_nodes):
        for label in range(edges.n_nodes):
            other = labels.copy()
            other[node] = label
            assert cpm(edges, other, 0.1) <= value + 1e-6


def test_rounds_after_the_last_change_nothing_and_a_round_starts_6_pieces_of_work() -> None:
    search = search_of(lattice((2, 4, 4), seed=1), 0.1)
    n_moves = search.run()
    labels = search.labels.clone()
    with counted() as started:
        search.round()
    assert started == ["_bids", "cumsum", "_empties", "_claims", "_moves", "_calls"]
    assert search.state.tolist() == [0, n_moves]
    assert search.labels.equal(labels)


@pytest.mark.parametrize("pairs", [[], [(0, 1)]])
def test_graphs_without_anything_to_search(pairs: list[tuple[int, int]]) -> None:
    edges = graph(3, pairs, 0.9)
    assert found(edges, 0.05).tolist() == ([0, 0, 1] if pairs else [0, 1, 2])


@pytest.mark.parametrize("families", [(True, True, True), (False, True, True)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 3, 2), (4, 5, 6)], ids=str)
def test_boxes_are_those_of_the_cpu(shape: tuple[int, int, int], families: tuple[bool, bool, bool]) -> None:
    from stgraph.kernels.gpu.lattice_boxes import box_pieces as on_gpu

    for seed in range(3):
        similarity = noise_lattice(shape, seed)
        mass = np.random.default_rng(seed).uniform(0.5, 2.0, similarity[0].size)
        for gamma, cap in product((0.02, 0.2, 0.7), (1, 3, 99)):
            expected = box_pieces(similarity, 0.1, families, mass, gamma, cap)
            same(on_gpu(tensor(similarity), 0.1, families, tensor(mass), gamma, cap), expected)


def test_edges_on_a_gpu_are_searched_there() -> None:
    edges = bridged_cliques()
    given = EdgeList(edges.n_nodes, *tensors(edges))
    parts = stgraph.detect_communities(given, "lattice-leiden", max_size=None)
    assert parts.labels.tolist() == [0] * 8 + [1] * 8
    assert parts.provenance.host_copy is None
