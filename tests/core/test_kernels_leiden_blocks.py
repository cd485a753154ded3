"""CPM in blocks of frames: what a search of the whole would promise, on any number of threads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from lattices import noise_lattice

from stgraph import EdgeList, set_num_threads
from stgraph.aliases import Array
from stgraph.community.quality import cpm
from stgraph.kernels.cpu import leiden_blocks
from stgraph.kernels.cpu.components import connected_components
from stgraph.kernels.cpu.edge_list import edges_above
from stgraph.kernels.cpu.leiden import leiden
from stgraph.kernels.cpu.leiden_blocks import frame_cuts

ALL = (True, True, True)
SHAPES = [(25, 4, 5), (400, 1, 1), (24, 5, 3)]
GAMMA = 0.1


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks in the smallest video."""
    monkeypatch.setattr(leiden_blocks, "_TOKENS", 100)
    monkeypatch.setattr(leiden_blocks, "_COMMUNITIES", 0)


def video(shape: tuple[int, int, int], seed: int = 0) -> tuple[EdgeList, tuple[Array, float, tuple[bool, bool, bool]]]:
    """A lattice of similarities, and its edges above 0.1."""
    similarity = np.abs(noise_lattice(shape, seed))
    return EdgeList(similarity[0].size, *edges_above(similarity, 0.1, ALL)[:3]), (similarity, 0.1, ALL)


def found(shape: tuple[int, int, int], n_iterations: int = 2, max_size: int | None = None, seed: int = 0) -> Array:
    edges, lattice = video(shape, seed)
    given = (edges.n_nodes, edges.src, edges.dst, edges.weight, GAMMA)
    return leiden(*given, max_size=max_size, n_iterations=n_iterations, lattice=lattice)


@pytest.mark.parametrize("gamma", [0.01, 0.05, 1.0])
@pytest.mark.parametrize("shape", [(3907, 16, 16), (400, 14, 14), (63, 24, 24), (5, 100, 100)], ids=str)
def test_cuts_lie_between_frames_and_alternate(shape: tuple[int, int, int], gamma: float) -> None:
    frame = shape[1] * shape[2]
    cuts = frame_cuts(shape, gamma)
    assert len(cuts) in (0, 2)
    for cut in cuts:
        assert cut[0] == 0 and cut[-1] == shape[0] * frame
        assert (np.diff(cut) > 0).all() and (cut % frame == 0).all()
    if cuts:
        assert (cuts[0][:-1] // frame % 2 == 0).all()  # boxes of two frames are not cut
        assert not set(cuts[0][1:-1]) & set(cuts[1])
        sizes = np.diff(cuts[0])
        assert sizes.min() >= min(8192, 384 / gamma) - 2 * frame


def test_short_videos_and_small_gammas_are_not_cut() -> None:
    assert frame_cuts((40, 16, 16), 0.05) == []
    assert frame_cuts((100_000, 1, 1), 1e-9) == []
    assert frame_cuts((1, 400, 400), 0.05) == []
    assert len(frame_cuts((64, 16, 16), 0.05)[0]) == 3


@pytest.mark.usefixtures("small_blocks", "threads")
@pytest.mark.parametrize("max_size", [None, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_connected_and_near_the_whole_search(
    shape: tuple[int, int, int], max_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        edges, _ = video(shape, seed)
        labels = found(shape, max_size=max_size, seed=seed)
        inside = labels[edges.src] == labels[edges.dst]
        expected, _ = connected_components(edges.n_nodes, edges.src[inside], edges.dst[inside])
        np.testing.assert_array_equal(labels, expected)
        assert max_size is None or np.bincount(labels).max() <= max_size
        for n in (1, 2, 8):
            set_num_threads(n)
            np.testing.assert_array_equal(found(shape, max_size=max_size, seed=seed), labels)
        with monkeypatch.context() as patch:
            patch.setattr(leiden_blocks, "_TOKENS", 10**6)
            whole = found(shape, max_size=max_size, seed=seed)
        assert cpm(edges, labels, GAMMA) >= 0.97 * cpm(edges, whole, GAMMA)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_pass_lowers_the_value(shape: tuple[int, int, int]) -> None:
    edges, _ = video(shape)
    values = [cpm(edges, found(shape, n), GAMMA) for n in range(1, 7)]
    assert all(after >= before - 1e-9 for before, after in pairwise(values))
