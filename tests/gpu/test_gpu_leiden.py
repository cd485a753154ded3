"""Leiden on the GPU engine, in Triton's interpreter: connected, the same every time, of nearly the CPU's quality."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from lattices import noise_lattice
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


def test_no_round_lowers_the_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves of a round share no community, so their gains add up; in the end no single move gains."""
    import torch

    from stgraph.kernels.gpu import leiden as kernel

    edges, seen = lattice((2, 4, 4), seed=1), []
    claims = kernel._claims

    def watched(nodes: Any, source: Any, target: Any, gain: Any, wants: Any, *rest: Any) -> Any:
        wins = claims(nodes, source, target, gain, wants, *rest)
        touched = torch.cat([source[wins], target[wins]])
        assert touched.unique().numel() == touched.numel()
        assert bool(wins.any()) == bool(wants.any())
        seen.append((labels.clone().numpy(), float(gain[wins].sum()) if gain is not None else 0.0))
        return wins

    monkeypatch.setattr(kernel, "_claims", watched)
    src, dst, weight = tensors(edges)
    row, neighbour, value = torch.cat([src, dst]), torch.cat([dst, src]), torch.cat([weight, weight])
    ones = torch.ones(edges.n_nodes, dtype=torch.float64)
    merged = kernel.merged_edges(row.long(), neighbour.long(), value.double(), edges.n_nodes)
    level = kernel._Level(*merged, ones, ones.long())
    labels = torch.arange(edges.n_nodes, dtype=torch.int32)
    while kernel._move(level, labels, 0.1, edges.n_nodes):  # again, until none waits in vain
        pass
    values = [cpm(edges, before, 0.1) for before, _ in seen] + [cpm(edges, labels.numpy(), 0.1)]
    assert np.diff(values) == pytest.approx([gain for _, gain in seen], abs=1e-5)
    for node in range(edges.n_nodes):
        for label in range(edges.n_nodes):
            moved = labels.numpy().copy()
            moved[node] = label
            assert cpm(edges, moved, 0.1) <= values[-1] + 1e-6


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
