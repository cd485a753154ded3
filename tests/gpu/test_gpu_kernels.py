"""The GPU engine's kernels in Triton's interpreter, against the CPU engine's."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES, features
from lattices import noise_lattice
from tensors import same, tensor
from zoo import ZOO

from stgraph.kernels import kernels_for
from stgraph.kernels.cpu import centrality, components, differences, edge_list, kept, neighbours, top, tree_split
from stgraph.kernels.cpu import lattice as cpu_lattice

pytestmark = pytest.mark.usefixtures("interpreter")
Array = np.ndarray[Any, Any]

MIRRORED = {
    "neighbours": ["neighbour_cosines"],
    "edge_list": ["edges_above"],
    "components": [
        "connected_components",
        "canonical_labels",
        "group_sizes",
        "group_members",
        "without_isolated",
        "with_isolated",
    ],
    "lattice": ["components"],
    "leiden": ["leiden"],
    "directions": ["unit_rows", "mean_directions"],
    "centrality": ["group_centrality"],
    "top": ["top_of_groups", "top_of_mask", "seat_scores"],
    "differences": ["differences", "below", "percentile", "beyond"],
    "kept": ["kept_tokens", "tally"],
}


def gpu(name: str) -> Any:
    return import_module(f"stgraph.kernels.gpu.{name}")


@pytest.mark.parametrize("name", MIRRORED)
def test_both_engines_have_the_same_functions(name: str) -> None:
    one, other = import_module(f"stgraph.kernels.cpu.{name}"), gpu(name)
    for function in MIRRORED[name]:
        assert [*inspect.signature(getattr(one, function)).parameters] == [
            *inspect.signature(getattr(other, function)).parameters
        ]
    assert kernels_for(np.zeros(1), name) is one
    assert kernels_for(tensor(np.zeros(1)), name) is other


def similarities(shape: tuple[int, ...] = (4, 5, 6, 13), seed: int = 0) -> tuple[Array, Array, Array]:
    x = features(shape, seed=seed)
    x[1, 2, 3] = 0
    return x, *neighbours.neighbour_cosines(x)


@pytest.mark.parametrize("families", [(True, True, True), (False, True, False), (True, False, True)])
@pytest.mark.parametrize("tau", [-np.inf, 0.0, 0.5, 0.8, 1.0])
def test_edge_lists_are_equal(tau: float, families: tuple[bool, bool, bool]) -> None:
    weights = similarities()[1].copy()
    weights[0, 0, 0, 0], weights[0, 0, 0, 1] = np.float32(tau), np.nextafter(np.float32(tau), np.float32(2))
    for found, expected in zip(
        gpu("edge_list").edges_above(tensor(weights), tau, families),
        edge_list.edges_above(weights, tau, families),
        strict=True,
    ):
        same(found, expected)


@pytest.mark.parametrize("shape", ZOO)
def test_components_are_equal(shape: str) -> None:
    edges = ZOO[shape]()
    kernel, src, dst = gpu("components"), tensor(edges.src), tensor(edges.dst)
    labels, count = components.connected_components(edges.n_nodes, edges.src, edges.dst)
    found, found_count = kernel.connected_components(edges.n_nodes, src, dst)
    assert found_count == count
    same(found, labels)
    place, n_core, *ends = components.without_isolated(edges.n_nodes, edges.src, edges.dst)
    found_place, found_core, *found_ends = kernel.without_isolated(edges.n_nodes, src, dst)
    assert found_core == n_core
    for a, b in zip((found_place, *found_ends), (place, *ends), strict=True):
        same(a, b)
    if n_core:
        core = np.arange(n_core, dtype=np.int32) % 3
        labels = components.with_isolated(place, core, 3)
        same(kernel.with_isolated(found_place, tensor(core), 3), labels)


@pytest.mark.parametrize("labels", [[], [5], [3, 3, 0, 7, 0], [-2, 10**6, -2, 4], [2, 1, 0, 1, 2]], ids=str)
def test_labels_are_numbered_alike(labels: list[int]) -> None:
    given = np.array(labels, np.int64)
    expected, count = components.canonical_labels(given)
    kernel = gpu("components")
    found, found_count = kernel.canonical_labels(tensor(given))
    assert found_count == count
    same(found, expected)
    for a, b in zip(kernel.group_members(found, count), components.group_members(expected, count), strict=True):
        same(a, b)
    same(kernel.group_sizes(found)[:count], components.group_sizes(expected))


LATTICES = [(1, 1, 1), (1, 1, 11), (1, 5, 1), (9, 1, 1), (1, 4, 5), (3, 3, 2), (4, 5, 6)]


@pytest.mark.parametrize("families", [(True, True, True), (False, True, False), (True, False, True)])
@pytest.mark.parametrize("tau", [-np.inf, -0.5, 0.3, 1.0])
@pytest.mark.parametrize("shape", LATTICES, ids=str)
def test_components_of_a_lattice(shape: tuple[int, int, int], tau: float, families: tuple[bool, bool, bool]) -> None:
    similarity = noise_lattice(shape)
    src, dst, _, _ = edge_list.edges_above(similarity, tau, families)
    labels, _ = components.connected_components(similarity[0].size, src, dst)
    same(cpu_lattice.components(similarity, tau, families), labels)
    same(gpu("lattice").components(tensor(similarity), tau, families), labels)


@pytest.mark.parametrize("kind", ["components", "all in one", "not connected"])
@pytest.mark.parametrize("tau", [-np.inf, -0.5])
@pytest.mark.parametrize("shape", LATTICES, ids=str)
def test_trees_are_cut_into_the_same_pieces(
    shape: tuple[int, int, int], tau: float, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small blocks, so that levels and child lists cross their borders."""
    monkeypatch.setattr(gpu("tree_split"), "_BLOCK", 4)
    similarity = noise_lattice(shape)
    node = np.arange(similarity[0].size, dtype=np.int32)
    labels = {
        "components": cpu_lattice.components(similarity, tau, (True, True, True)),
        "all in one": 0 * node,
        "not connected": components.canonical_labels(node // 4 % 2)[0],
    }[kind]
    for cap in (1, 3):
        check_split(similarity, tau, labels, cap)


@pytest.mark.parametrize("cap", [1, 2, 30, 400])
def test_a_long_and_a_wide_tree(cap: int) -> None:
    similarity = noise_lattice((7, 6, 5), seed=1)
    check_split(similarity, -0.9, np.zeros(210, np.int32), cap)


def check_split(similarity: Array, tau: float, labels: Array, cap: int) -> None:
    on = (True, True, True)
    src, dst, _, _ = edge_list.edges_above(similarity, tau, on)
    pieces = tree_split.split_trees(src, dst, labels, np.bincount(labels), cap)
    found = gpu("tree_split").split_lattice(tensor(similarity), tau, on, tensor(labels), cap)
    same(found, components.canonical_labels(pieces)[0])


@pytest.mark.parametrize("large", [False, True], ids=["small groups", "groups in blocks"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_centralities_agree(dtype: Any, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:
        monkeypatch.setattr(gpu("centrality"), "_LARGE", 3)
        monkeypatch.setattr(gpu("centrality"), "_BLOCK", 2)
    monkeypatch.setattr(gpu("centrality"), "_CHANNELS", 64)  # parts, of which the last is not full
    x = features((2, 3, 4, 150), dtype)
    x[0, 0, 0] = 0
    if dtype == np.float32:
        x[0, 1] *= np.float32(1e-25)
        x[1, 2] *= np.float32(1e25)
        x[1, 1, 1] *= np.float32(1e-38)
    _, norms = neighbours.neighbour_cosines(x)
    labels = np.array([0, 0, 1, 1, 1, 0, 2, 3, 3] + [4] * 15, np.int32)
    members, starts = components.group_members(labels, 5)
    expected = centrality.group_centrality(x, norms, members, starts)
    found = gpu("centrality").group_centrality(tensor(x), *map(tensor, (norms, members, starts)))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-6)
    assert found[6] == 1.0
    assert found[7] == found[8]
    assert found[0] == 0.0


def test_equal_rows_tie() -> None:
    """Rows that are equal get the same bits wherever they stand, so that the smaller index wins."""
    x = np.tile(features((1, 1, 1, 150)), (1, 5, 5, 1))
    _, norms = neighbours.neighbour_cosines(x)
    members, starts = np.arange(25, dtype=np.int32), np.array([0, 25])
    found = gpu("centrality").group_centrality(tensor(x), *map(tensor, (norms, members, starts)))
    assert len(set(found.tolist())) == 1


@pytest.mark.parametrize("counted", [True, False], ids=["by counting", "by sorting"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_are_on_top(dtype: Any, counted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not counted:
        monkeypatch.setattr(gpu("top"), "_COUNTED", 0)
    rng = np.random.default_rng(0)
    values = rng.integers(-2, 3, 200).astype(dtype)
    values[values == 1] = -0.0  # which equals 0.0
    values[:9] = -np.inf
    labels = components.canonical_labels(rng.integers(0, 30, 200))[0]
    members, starts = components.group_members(labels, 30)
    counts = rng.integers(0, 9, 30)
    kernel = gpu("top")
    same(
        kernel.top_of_groups(*map(tensor, (values, members, starts, counts))),
        top.top_of_groups(values, members, starts, counts),
    )
    mask = rng.random(200) < 0.6
    for k in (0, 1, 50, 120, 200):
        same(kernel.top_of_mask(tensor(values), tensor(mask), k), top.top_of_mask(values, mask, k))
        first = mask & (values > 0) | (mask & (np.arange(200) % 3 == 0))
        found = kernel.top_of_mask(tensor(values), tensor(mask), k, tensor(first))
        same(found, top.top_of_mask(values, mask, k, first))
    same(kernel.seat_scores(*map(tensor, (values, members, starts))), top.seat_scores(values, members, starts))


@pytest.mark.parametrize("q", [0, 5, 33.3, 50, 95, 99.9, 100])
def test_events_are_the_same(q: float) -> None:
    temporal = similarities()[1][2, :-1]
    kernel, given = gpu("differences"), tensor(temporal)
    same(kernel.differences(given), differences.differences(temporal))
    bounds = differences.percentile(temporal, q), kernel.percentile(given, q)
    assert [float(one) for one in bounds[1]] == list(bounds[0])
    for name, *limits in (("beyond", *(b[0] for b in bounds)), *(("below", t, t) for t in (0.2, temporal[1, 1, 1]))):
        expected = getattr(differences, name)(temporal, limits[0])
        for one, wanted in zip(getattr(kernel, name)(given, limits[1]), expected, strict=True):
            same(one, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_same_are_kept_and_counted(dtype: Any, share: float) -> None:
    rng = np.random.default_rng(1)
    n, kernel = 700, gpu("kept")
    first, second, mask = (rng.random(n) < one for one in (0.4, 0.3, share))
    scores = rng.random(n).astype(dtype)
    n_kept = int(mask.sum())
    expected = kept.kept_tokens(mask, first, second, scores, n_kept)
    for most in (n_kept, n_kept + 300, n):
        found = kernel.kept_tokens(*map(tensor, (mask, first, second, scores)), most)
        for one, wanted, values in zip(found, expected, (np.arange(n), None, scores.astype(np.float32)), strict=True):
            same(one[:n_kept], wanted)
            assert len(one) == most
            if values is not None:
                assert one[n_kept:].tolist() == [values[0]] * (most - n_kept)
    labels = components.canonical_labels(rng.integers(0, 40, n))[0]
    starts, before = components.group_members(labels, 40)[1], components.group_sizes(labels)
    for sizes in (before, None):
        masks = (first, second, first | second, mask)
        wanted = kept.tally(masks, labels, starts, sizes, 16)
        given = None if sizes is None else tensor(sizes)
        counted = kernel.tally(tuple(map(tensor, masks)), tensor(labels), tensor(starts), given, 16)
        assert [int(one) for one in counted] == wanted
