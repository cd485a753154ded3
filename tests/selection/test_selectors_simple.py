"""Laws of the selectors that need features and grid alone: random, uniform, evs, dets, vidcom2, dycoke-ttm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_zoo import ROW_LAYOUTS, SCATTERED_LAYOUTS, features

from stgraph import Selection, VideoTokens, selector, set_num_threads
from stgraph.errors import FeatureError, InputError
from stgraph.selection.budget import per_frame_counts
from stgraph.selection.rivals.dycoke import group_size, reference_frames
from stgraph.selection.rivals.vidcom2 import frame_counts, lowest_half

Array = np.ndarray[Any, Any]
SHAPE = (9, 3, 4, 21)
FRAME = 12
LAYOUTS = ROW_LAYOUTS | SCATTERED_LAYOUTS
READING = ("evs", "dets", "vidcom2", "dycoke-ttm")


def select(name: str, x: Array, n_keep: int, **parameters: Any) -> Selection:
    return selector(name, n_keep=n_keep, **parameters).select(VideoTokens.from_array(x))


def still(T: int = 9) -> Array:
    """Frames that are all the same."""
    return np.broadcast_to(features((1, *SHAPE[1:])), (T, *SHAPE[1:]))


# ---- random ----


@pytest.mark.parametrize("name", ["random", "random-per-frame"])
def test_a_seed_repeats_a_draw(name: str) -> None:
    x = features(SHAPE)
    once = select(name, x, 40, seed=5).indices
    np.testing.assert_array_equal(once, select(name, 2 * x, 40, seed=5).indices)
    assert not np.array_equal(once, select(name, x, 40, seed=6).indices)


def test_a_smaller_random_budget_keeps_a_subset() -> None:
    x = features(SHAPE)
    assert set(select("random", x, 20).indices) < set(select("random", x, 50).indices)


def test_every_token_is_as_likely() -> None:
    hits = sum(select("random", still(2), 6, seed=s).mask.reshape(-1).astype(int) for s in range(800))
    assert abs(hits / 800 - 6 / 24).max() < 0.08  # five standard deviations


def test_random_per_frame_spreads_the_budget() -> None:
    kept = select("random-per-frame", features(SHAPE), 40)
    np.testing.assert_array_equal(kept.mask.sum(axis=(1, 2)), per_frame_counts(40, 9))


@pytest.mark.parametrize("seed", [-1, 2**31, 1.0, True, "0", None])
def test_a_seed_out_of_range(seed: Any) -> None:
    with pytest.raises(InputError, match=r"seed is .*; it must be an integer from 0 to 2\^31 - 1"):
        selector("random-per-frame", n_keep=1, seed=seed)


# ---- uniform ----


@pytest.mark.parametrize("n_keep", [1, 2, 7, 50, 107])
def test_uniform_steps_differ_by_one_at_most(n_keep: int) -> None:
    kept = select("uniform", features(SHAPE), n_keep).indices
    assert np.ptp(np.diff(kept, prepend=-1)[1:]) <= 1 if n_keep > 1 else kept == [54]


def test_uniform_in_time_takes_whole_frames() -> None:
    x = features(SHAPE)
    np.testing.assert_array_equal(select("uniform", x, 3 * FRAME, axis="time").mask.sum(axis=(1, 2)) > 0, [0, 1, 0] * 3)
    assert select("uniform", x, 2 * FRAME + 1, axis="time").report["n_frames"] == 3


def test_uniform_in_space_takes_the_same_positions_of_every_frame() -> None:
    mask = select("uniform", features(SHAPE), 9 * 4, axis="space").mask
    assert np.all(mask == mask[0])
    assert mask[0].sum() == 4
    assert select("uniform", features(SHAPE), 9 * 4 - 1, axis="space").report["n_positions"] == 4


def test_an_unknown_axis() -> None:
    with pytest.raises(InputError, match="axis is 'frames'; it must be one of sequence, time, space"):
        selector("uniform", n_keep=1, axis="frames")


# ---- evs, dets ----


@pytest.mark.parametrize("n_keep", [1, 5, FRAME, 30, 100])
def test_evs_takes_the_first_frame_first(n_keep: int) -> None:
    kept = select("evs", features(SHAPE), n_keep)
    first = min(n_keep, FRAME)
    np.testing.assert_array_equal(kept.indices[:first], np.arange(first))
    assert kept.reasons().get("event", 0) == n_keep - first
    assert kept.report["n_first_frame"] == first
    assert (kept.report["smallest_difference"] is None) == (n_keep <= FRAME)


@pytest.mark.parametrize("name", ["evs", "dets"])
def test_a_still_video_is_all_ties(name: str) -> None:
    np.testing.assert_array_equal(select(name, still(), 40).indices, np.arange(40))


@pytest.mark.parametrize("name", ["evs", "dets"])
def test_what_changes_is_kept(name: str) -> None:
    x = still().copy()
    x[4, 1, 2] *= -1
    x[7, 0, 3] *= -1
    changed = {(4 * 3 + 1) * 4 + 2, 7 * 12 + 3}
    assert changed <= set(select(name, x, FRAME + 4).indices)  # a change back is a change too


def test_dets_is_evs_without_the_first_frame() -> None:
    x = features(SHAPE)
    assert set(select("evs", x, FRAME + 30).indices) - set(range(FRAME)) == set(select("dets", x, 30).indices)


# ---- dycoke-ttm ----


@pytest.mark.parametrize("n_keep", [36, 40, 90, 107])
def test_dycoke_keeps_the_first_of_four_frames(n_keep: int) -> None:
    kept = select("dycoke-ttm", features(SHAPE), n_keep)
    counts = kept.mask.sum(axis=(1, 2))
    np.testing.assert_array_equal(counts[::4], FRAME)
    others = np.delete(counts, [0, 4, 8])
    np.testing.assert_array_equal(others, per_frame_counts(n_keep - 36, 6))
    assert kept.reasons()["sample"] == 36


@pytest.mark.parametrize(("n_keep", "group", "whole"), [(35, 8, 2), (24, 8, 2), (23, 16, 1), (12, 16, 1), (11, 16, 0)])
def test_dycoke_doubles_its_groups_for_a_small_budget(n_keep: int, group: int, whole: int) -> None:
    kept = select("dycoke-ttm", features(SHAPE), n_keep)
    counts = kept.mask.sum(axis=(1, 2))
    assert np.count_nonzero(counts == FRAME) == whole == kept.report["n_whole_frames"]
    assert kept.report["frames_a_group"] == group
    if not whole:
        np.testing.assert_array_equal(counts, [n_keep] + [0] * 8)


def test_dycoke_compares_along_the_tree_of_frames() -> None:
    assert reference_frames(17)[[1, 2, 3, 6, 8, 12, 16]].tolist() == [0, 0, 2, 4, 0, 8, 0]
    x = still().copy()
    x[6, 2, 2] *= -1  # unlike frame 4 and frame 5; frame 7 is unlike it
    kept = select("dycoke-ttm", x, 3 * FRAME + 6).mask
    assert kept[6, 2, 2]
    assert kept[7, 2, 2]
    assert kept[5].sum() == 1
    assert kept[5, 0, 0]  # a tie


@pytest.mark.parametrize(("T", "whole"), [(1, [0]), (2, [0]), (3, [0, 2]), (4, [0, 2]), (8, [0, 4, 6]), (9, [0, 4, 8])])
@pytest.mark.parametrize("prune", [0.0, 0.7, 1.0])
def test_dycoke_by_its_own_count(T: int, whole: list[int], prune: float) -> None:
    kept = select("dycoke-ttm", features((T, *SHAPE[1:])), 1, exact_count=False, prune=prune)
    counts = np.full(T, int((1 - prune) * FRAME))
    counts[whole] = FRAME
    np.testing.assert_array_equal(kept.mask.sum(axis=(1, 2)), counts)


def test_a_group_is_never_longer_than_it_must() -> None:
    for n_keep in range(1, 200):
        group = group_size(n_keep, 20, 10)
        assert group == 4 or -(-20 // (group // 2)) * 10 > n_keep


@pytest.mark.parametrize("prune", [-0.1, 1.5, "0.7", True, float("nan")])
def test_a_share_out_of_range(prune: Any) -> None:
    with pytest.raises(InputError, match=r"prune is .*; it must be a number in \[0, 1\]"):
        selector("dycoke-ttm", n_keep=1, prune=prune)


# ---- vidcom2 ----


def test_vidcom2_keeps_what_is_unlike_the_rest() -> None:
    x = np.broadcast_to(features((1, 1, 1, 64)), (6, 4, 4, 64)) + 0.1 * features((6, 4, 4, 64), seed=1)
    x[2, 1, 3] = features((64,), seed=2)
    assert select("vidcom2", x, 1).indices.tolist() == [2 * 16 + 7]


def test_vidcom2_gives_unlike_frames_more() -> None:
    x = np.broadcast_to(features((1, 1, 1, 64)), (6, 4, 4, 64)) + 0.3 * features((6, 4, 4, 64), seed=1)
    x[3] = features((4, 4, 64), seed=2)
    counts = select("vidcom2", x, 24, exact_count=False).mask.sum(axis=(1, 2))
    assert counts[3] == counts.max() > np.delete(counts, 3).max()


@pytest.mark.parametrize("n_keep", [1, 5, 9, 20, 54, 90, 107])
def test_vidcom2_fits_its_own_count_to_the_budget(n_keep: int) -> None:
    x = features(SHAPE) + 2 * features((9, 1, 1, 21), seed=1)
    fitted, own = (set(select("vidcom2", x, n_keep, exact_count=e).indices) for e in (True, False))
    assert len(fitted) == n_keep
    assert fitted <= own or own <= fitted


def test_vidcom2_leaves_no_frame_out_by_its_own_count() -> None:
    assert select("vidcom2", features(SHAPE), 1, exact_count=False).mask.any(axis=(1, 2)).all()


@pytest.mark.parametrize("factor", [1e-20, 1e-3, 1e3, 1e25])
def test_vidcom2_sees_directions_only(factor: float) -> None:
    x = features(SHAPE)
    np.testing.assert_array_equal(
        select("vidcom2", x, 30).indices, select("vidcom2", x * np.float32(factor), 30).indices
    )


def test_equal_tokens_tie() -> None:
    x = np.broadcast_to(features((1, 1, 1, 21)), (5, 3, 3, 21))
    assert select("vidcom2", x, 20).indices.tolist() == [t * 9 + i for t in range(5) for i in range(4)]


def test_shares_of_frames() -> None:
    assert frame_counts(np.full(4, 2.5), 0.3, 100).tolist() == [30] * 4
    assert frame_counts(np.array([5.0, 5.0, 0.0]), 0.9, 10).tolist() == [6, 6, 10]  # one frame's scale ends at 1
    assert frame_counts(np.array([5.0, 0.0]), 1e-9, 10).tolist() == [1, 1]
    assert lowest_half(np.zeros(5)).tolist() == [True, True, False, False, False]
    assert not lowest_half(np.ones(1)).any()


# ---- what all of them do with odd features ----


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_features_are_named(name: str, bad: float) -> None:
    x = features(SHAPE)
    x[5, 1, 2, 20] = x[2, 2, 3, 0] = bad
    for n_keep in (1, 30):
        with pytest.raises(FeatureError, match=r"first bad token is 35 \(frame 2, row 2, column 3\)"):
            select(name, x, n_keep)


@pytest.mark.parametrize("name", READING)
def test_threads_change_nothing(name: str, threads: None) -> None:
    results = []
    for n in (1, 2, 5):
        set_num_threads(n)
        results.append(select(name, features((33, 5, 4, 30)), 200))
    for other in results[1:]:
        np.testing.assert_array_equal(other.indices, results[0].indices)
        np.testing.assert_array_equal(other.scores, results[0].scores)
