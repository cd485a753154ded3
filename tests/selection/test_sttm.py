"""STTM: the pyramid on grids of every size, its cut, and joins that meet a budget."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from feature_zoo import GRIDS, LOOKS, disguise, features

from stgraph import VideoTokens, selector
from stgraph.errors import FeatureError, InputError
from stgraph.kernels.cpu.threads import set_num_threads
from stgraph.selection.algorithms.quadtree import Pyramid, axis_maps, build_pyramid, level_sizes
from stgraph.selection.result import Selection

Array = np.ndarray[Any, Any]


def sttm(x: Array, **how: Any) -> Selection:
    return selector("sttm", **how).select(VideoTokens.from_array(x))


def pyramid_of(x: Array, root_level: int = 0) -> Pyramid:
    return build_pyramid(VideoTokens.from_array(x), root_level)


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize("grid", [*GRIDS[1:], (3, 14, 14, 20), (2, 9, 16, 8)])
@pytest.mark.parametrize("look", LOOKS)
def test_exactly_k_groups_whatever_the_video(grid: tuple[int, ...], look: str) -> None:
    x = features(grid)
    disguise(x, look, 3)
    n = int(np.prod(grid[:3]))
    for k in sorted({1, 2, n // 3, n // 2, n - 1} - {0}):
        kept = sttm(x, n_keep=k)
        assert len(kept) == k
        assert (np.diff(kept.indices) > 0).all()
        assert kept.kind == "merge" and kept.positions == "compact" and kept.exactness.startswith("approximate")
        assert kept.features is not None and np.isfinite(kept.features).all()
        np.testing.assert_allclose(kept.assignment.sum(axis=1), 1, rtol=1e-6)  # means of means
        members = kept.assignment.tocsc()
        assert np.diff(members.indptr).max() == 1  # no token in two groups
        assert n - members.nnz == kept.report["n_tokens_dropped"]
        if kept.report["n_boxes_at_tau_s"] < k:
            assert k <= kept.report["n_boxes"] <= k + 2  # the last split adds three at most
        np.testing.assert_array_equal(kept.scores, np.diff(kept.assignment.indptr))
        np.testing.assert_array_equal(kept.indices, kept.assignment.indices[kept.assignment.indptr[:-1]])


@pytest.mark.parametrize(
    ("size", "root_level", "expected"),
    [
        ((16, 16), 1, [(16, 16), (8, 8), (4, 4)]),
        ((14, 14), 0, [(14, 14), (7, 7), (4, 4), (2, 2)]),
        ((8, 3), 0, [(8, 3), (4, 2)]),
        ((1, 5), 0, [(1, 5), (1, 3), (1, 2)]),
        ((2, 9), 0, [(2, 9)]),
        ((1, 1), 1, [(1, 1)]),
        ((8, 8), 9, [(8, 8)]),
    ],
)
def test_levels(size: tuple[int, int], root_level: int, expected: list[tuple[int, int]]) -> None:
    assert level_sizes(*size, root_level) == expected


@pytest.mark.parametrize("length", range(1, 30))
def test_an_odd_side_keeps_its_first_box_alone(length: int) -> None:
    sizes = [length]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 1) // 2)
    place, weight = axis_maps(sizes)
    for n, boxes, weights in zip(sizes, place, weight, strict=True):
        assert boxes.max() + 1 == n and (np.diff(boxes) >= 0).all()
        np.testing.assert_allclose(np.bincount(boxes, weights), 1)
    if length > 1:
        sizes_of_boxes = np.bincount(place[1])
        assert sizes_of_boxes[0] == 2 - length % 2 and (sizes_of_boxes[1:] == 2).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("grid", [(2, 7, 10, 9), (1, 16, 9, 5), (3, 1, 6, 4)])
def test_boxes_are_means_of_means(grid: tuple[int, int, int, int], dtype: Any) -> None:
    x = features(grid, dtype)
    p = pyramid_of(x)
    wide, n = x.astype(np.float64).reshape(-1, grid[-1]), int(np.prod(grid[:3]))
    rows = np.concatenate([wide, p.means])
    for finer, boxes, weights in zip([p.boxes[0], *p.boxes], p.boxes, p.weights, strict=False):
        flat = np.broadcast_to(weights, boxes.shape).reshape(-1)
        for box in np.unique(boxes):
            inside = boxes.reshape(-1) == box
            np.testing.assert_allclose(flat[inside] @ wide[inside], rows[box], atol=1e-4)
            assert p.norms[box] == pytest.approx(np.linalg.norm(rows[box]), rel=1e-4)
            if box >= n:
                parts = np.unique(finer.reshape(-1)[inside])
                assert p.least[box] == pytest.approx(min(cosine(rows[box], rows[c]) for c in parts), abs=1e-5)


def test_a_still_uniform_video_is_its_root_boxes() -> None:
    x = np.broadcast_to(features((1, 1, 1, 32)), (5, 14, 14, 32)).copy()
    kept = sttm(x, retain_ratio=0.5, tau_s=1.0, tau_t=1.0, exact_count=False)
    corners = (0, 2, 6, 10)  # 14 -> 7 -> 4, and 7 leaves its first alone
    assert kept.indices.tolist() == [14 * y + z for y in corners for z in corners]
    assert kept.report["n_boxes"] == 5 * 16
    np.testing.assert_allclose(kept.features, x[0, 0, :1].repeat(16, axis=0), rtol=1e-5)
    apart = sttm(x, retain_ratio=0.5, tau_s=1.0, tau_t=0, exact_count=False)
    assert len(apart) == 80 and apart.report["weakest_join"] is None


def test_the_corner_token_splits_only_its_own_boxes() -> None:
    x = np.ones((1, 7, 7, 3), np.float32)
    x[0, 0, 0] = (1, -1, 0)
    kept = sttm(x, retain_ratio=0.5, exact_count=False, root_level=1)  # 7 -> 4; the corner is a box of its own
    assert len(kept) == 16


def test_boxes_split_where_their_least_similar_part_is_least_similar() -> None:
    x = np.ones((1, 8, 8, 4), np.float32)
    x[0, 6, 6] = (1, 1, 1, 0)  # cosine with the rest 0.87
    x[0, 0, 0] = (1, 1, 0, 0)  # 0.71
    whole = sttm(x, n_keep=16)  # 4x4 boxes of 2x2
    assert whole.report["n_boxes"] == 16
    assert whole.indices.tolist() == [16 * y + 2 * z for y in range(4) for z in range(4)]
    one, two = sttm(x, n_keep=17, tau_s=0.5), sttm(x, n_keep=20, tau_s=0.5)
    assert one.report["n_boxes"] == 19  # the box of the corner, whose tokens tie with no box: two are let go
    assert one.indices.tolist() == [0, 1, *whole.indices.tolist()[1:]]
    assert one.report["n_tokens_dropped"] == 2
    assert two.report["n_boxes"] == 22
    assert set(two.indices.tolist()) == {1, 8, 9, 55, *whole.indices.tolist()}
    assert two.report["n_tokens_dropped"] == 2


def test_joins_go_from_the_most_similar_down() -> None:
    x = features((6, 4, 4, 10), seed=2)
    tokens_only = {"root_level": 9}
    sizes = []
    for k in (95, 60, 20):
        kept = sttm(x, n_keep=k, **tokens_only)
        assert kept.report["n_groups"] == k
        sizes.append(kept.report["weakest_join"])
    assert sizes[0] > sizes[1] > sizes[2]
    units = x / np.linalg.norm(x, axis=-1, keepdims=True)
    similarity = np.sort((units[:-1] * units[1:]).sum(-1).reshape(-1))[::-1]
    np.testing.assert_allclose(sizes, [similarity[0], similarity[35], similarity[75]], rtol=1e-5)


def test_equal_joins_take_the_smaller_pair() -> None:
    x = np.broadcast_to(features((1, 1, 1, 3584)), (3, 2, 2, 3584)).copy()
    kept = sttm(x, n_keep=9, root_level=0)
    assert kept.indices.tolist() == [0, 1, 2, 3, 7, 8, 9, 10, 11]
    assert kept.assignment.indices.tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 9, 10, 11]


def test_the_largest_groups_stay_where_joins_do_not_suffice() -> None:
    x = np.broadcast_to(features((1, 1, 1, 8)), (1, 9, 9, 8)).copy()
    kept = sttm(x, n_keep=3)  # boxes of 1, 2, 2, ... one level up: 9 -> 5 -> 3 -> 2
    assert kept.report["n_groups"] == 9
    assert kept.scores.tolist() == [16, 16, 16]
    assert kept.indices.tolist() == [10, 14, 46]


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_extreme_lengths_change_nothing(scale: float) -> None:
    x = features((3, 8, 7, 10))
    plain, scaled = (sttm(y, retain_ratio=0.3) for y in (x, x * np.float32(scale)))
    np.testing.assert_array_equal(plain.indices, scaled.indices)
    np.testing.assert_array_equal(plain.assignment.toarray(), scaled.assignment.toarray())


@pytest.mark.usefixtures("threads")
def test_the_number_of_threads_changes_nothing() -> None:
    x = features((9, 14, 14, 24))
    results = []
    for n in (1, 3):
        set_num_threads(n)
        results.append(sttm(x, retain_ratio=0.2))
    np.testing.assert_array_equal(results[0].indices, results[1].indices)
    np.testing.assert_array_equal(results[0].features, results[1].features)


@pytest.mark.parametrize(("name", "value"), [("tau_s", 2), ("tau_t", -0.1), ("root_level", -1), ("root_level", 1.0)])
def test_parameters_are_checked(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name} is {value}; it must be"):
        selector("sttm", retain_ratio=0.5, **{name: value})


def test_bad_features_are_named() -> None:
    x = features((2, 3, 4, 8))
    x[1, 2, 0, 3] = np.inf
    with pytest.raises(FeatureError, match="first bad token is 20"):
        sttm(x, n_keep=3)


@pytest.mark.parametrize(
    ("side", "root_level", "odd"),
    [(16, 1, None), (8, 1, None), (12, 1, None), (14, 1, "7 x 7"), (14, 2, None), (7, 1, "7 x 7"), (24, 0, "3 x 3")],
)
def test_exactness_names_a_level_with_an_odd_side(side: int, root_level: int, odd: str | None) -> None:
    tokens = VideoTokens.from_array(np.random.default_rng(0).normal(1, 0.3, (2, side, side, 6)).astype(np.float32))
    for exact_count in (True, False):
        chosen = selector("sttm", retain_ratio=0.4, root_level=root_level, exact_count=exact_count)
        said = chosen.select(tokens).exactness
        assert ("odd side" in said) == (odd is not None)
        assert odd is None or f"level {odd} has an odd side" in said
        assert ("fitted to the budget" in said) == exact_count
