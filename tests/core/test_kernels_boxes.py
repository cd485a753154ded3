"""The boxes a search on the lattice starts from: small, connected, worth their cost, the same on any thread count."""

from __future__ import annotations

import numpy as np
import pytest
from lattices import noise_lattice

from stgraph import EdgeList, set_num_threads
from stgraph.aliases import Array
from stgraph.community.quality import cpm
from stgraph.kernels.cpu import threads as threads_module
from stgraph.kernels.cpu.components import canonical_labels, connected_components
from stgraph.kernels.cpu.edge_list import edges_above
from stgraph.kernels.cpu.lattice_boxes import box_pieces

ALL = (True, True, True)
SHAPES = [(1, 1, 1), (1, 1, 11), (9, 1, 1), (1, 4, 5), (3, 3, 2), (6, 5, 4)]


def pieces(similarity: Array, tau: float, gamma: float, families: tuple[bool, ...] = ALL, cap: int = 99) -> Array:
    """Canonical labels, for masses of 1."""
    n = similarity[0].size
    labels: Array = canonical_labels(box_pieces(similarity, tau, families, np.ones(n), gamma, cap))[0]
    return labels


def even(shape: tuple[int, int, int], value: float) -> Array:
    """One similarity for all neighbours."""
    return np.where(np.isnan(noise_lattice(shape)), np.nan, np.float32(value)).astype(np.float32)


@pytest.mark.parametrize("families", [ALL, (True, False, True), (False, True, True)])
@pytest.mark.parametrize("gamma", [0.02, 0.2, 0.7])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pieces_are_connected_within_a_box_and_gain(
    shape: tuple[int, int, int], gamma: float, families: tuple[bool, bool, bool]
) -> None:
    for seed in range(3):
        similarity = noise_lattice(shape, seed)
        labels = pieces(similarity, 0.1, gamma, families)
        edges = EdgeList(labels.size, *edges_above(similarity, 0.1, families)[:3])
        inside = labels[edges.src] == labels[edges.dst]
        expected, _ = connected_components(labels.size, edges.src[inside], edges.dst[inside])
        np.testing.assert_array_equal(labels, expected)
        t, h, w = np.unravel_index(np.arange(labels.size), shape)
        box = np.stack([t // 2, h // 2, w // 2], 1)
        for label in range(labels.max() + 1):
            members = labels == label
            assert np.ptp(box[members], axis=0).max() == 0
            assert members.sum() != 2
            alone = canonical_labels(np.where(members, np.arange(labels.size) + labels.size, labels))[0]
            assert members.sum() == 1 or cpm(edges, labels, gamma) > cpm(edges, alone, gamma)


@pytest.mark.parametrize(("gamma", "sizes"), [(0.05, {8}), (0.2, {8}), (0.3, {4}), (0.5, {1})])
def test_the_cost_of_pairs_decides_how_large_they_are(gamma: float, sizes: set[int]) -> None:
    labels = pieces(even((4, 4, 4), 0.9), 0.8, gamma)
    assert set(np.bincount(labels).tolist()) == sizes


def test_a_box_is_cut_where_edges_are_missing() -> None:
    similarity = even((2, 2, 2), 0.9)
    similarity[2] = 0.5  # nothing between the two frames
    assert pieces(similarity, 0.8, 0.05).tolist() == [0] * 4 + [1] * 4
    similarity[1, 1] = 0.5  # and nothing between the rows of the second: its pairs start apart
    assert pieces(similarity, 0.8, 0.05).tolist() == [0] * 4 + [1, 2, 3, 4]


@pytest.mark.parametrize("cap", [1, 3, 5])
def test_the_cap_holds(cap: int) -> None:
    labels = pieces(even((4, 4, 4), 0.9), 0.8, 0.05, cap=cap)
    assert np.bincount(labels).max() == {1: 1, 3: 1, 5: 4}[cap]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_any_number_of_threads(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "_WORTH_A_THREAD", 1)
    similarity = noise_lattice((7, 5, 6))
    expected = pieces(similarity, 0.0, 0.05)
    set_num_threads(n)
    np.testing.assert_array_equal(pieces(similarity, 0.0, 0.05), expected)
