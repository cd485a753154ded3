"""The lattice without a list of its edges: the components and pieces that the list gives, on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from lattices import noise_lattice

from stgraph import set_num_threads
from stgraph.kernels.cpu import threads as threads_module
from stgraph.kernels.cpu.components import canonical_labels, connected_components
from stgraph.kernels.cpu.edge_list import edges_above
from stgraph.kernels.cpu.lattice import components
from stgraph.kernels.cpu.tree_split import split_lattice, split_trees

Families = tuple[bool, bool, bool]

SHAPES = [(1, 1, 1), (1, 1, 11), (1, 5, 1), (9, 1, 1), (1, 4, 5), (3, 3, 2), (6, 5, 4), (2, 9, 9)]
ALL = (True, True, True)
pytestmark = pytest.mark.usefixtures("threads", "small_ranges")


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread's work for the smallest lattice."""
    monkeypatch.setattr(threads_module, "_WORTH_A_THREAD", 1)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("families", [ALL, (False, True, False), (True, False, True), (False, True, True)])
@pytest.mark.parametrize("tau", [-np.inf, -0.5, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_components(shape: tuple[int, int, int], tau: float, families: Families, threads: int) -> None:
    set_num_threads(threads)
    for seed in range(3):
        similarity = noise_lattice(shape, seed)
        src, dst, _, _ = edges_above(similarity, tau, families)
        expected, _ = connected_components(similarity[0].size, src, dst)
        np.testing.assert_array_equal(components(similarity, tau, families), expected)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("cap", [1, 2, 5, 50])
@pytest.mark.parametrize("kind", ["components", "all in one", "not connected"])
@pytest.mark.parametrize("tau", [-np.inf, -0.5, 0.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pieces(shape: tuple[int, int, int], tau: float, kind: str, cap: int, threads: int) -> None:
    set_num_threads(threads)
    similarity = noise_lattice(shape)
    node = np.arange(similarity[0].size, dtype=np.int32)
    labels = {
        "components": components(similarity, tau, ALL),
        "all in one": 0 * node,
        "not connected": canonical_labels(node // 4 % 2)[0],
    }[kind]
    src, dst, _, _ = edges_above(similarity, tau, ALL)
    expected = canonical_labels(split_trees(src, dst, labels, np.bincount(labels), cap))[0]
    np.testing.assert_array_equal(split_lattice(similarity, tau, ALL, labels, cap), expected)
