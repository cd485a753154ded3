"""What a selection preserves, each figure on its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from clips import clip, nearest

import stgraph
from stgraph import VideoTokens
from stgraph.bench.fidelity import cut_tokens, frame_evenness, jaccard, mean_and_p5, nearest_kept


def test_nearest_kept_of_many_selections() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 10, 11, 5)).astype(np.float32)  # more tokens than one block holds
    x[2, 3, 4] = 0
    tokens = VideoTokens.from_array(x)
    norms = stgraph.build_graph(tokens).norms
    masks = [np.arange(660) == 7, rng.random(660) < 0.1, rng.random(660) < 0.7, np.ones(660, np.bool_)]
    found = nearest_kept(tokens, norms, masks)
    assert found.dtype == np.float32
    for row, mask in zip(found, masks, strict=True):
        np.testing.assert_allclose(row, nearest(tokens, mask), atol=1e-6)


def test_mean_and_5th_percentile() -> None:
    values = np.linspace(0, 1, 101, dtype=np.float32)
    assert mean_and_p5(values, np.ones(101, np.bool_)) == (pytest.approx(0.5), pytest.approx(0.05))
    assert mean_and_p5(values, values > 0.99) == (1.0, 1.0)
    assert mean_and_p5(values, values > 1) == (None, None)


@pytest.mark.parametrize(
    ("counts", "evenness"),
    [
        ([3, 3, 3], 1.0),
        ([5, 0, 0], 0.0),
        ([4], 1.0),
        ([2, 2, 0, 0], 0.5),
        ([1, 2, 1], 1.5 * math.log(2) / math.log(3)),
    ],
)
def test_frame_evenness(counts: list[int], evenness: float) -> None:
    mask = np.arange(6) < np.array(counts)[:, None]
    assert frame_evenness(mask.reshape(-1, 2, 3)) == pytest.approx(evenness)


@pytest.mark.parametrize(
    ("a", "b", "overlap"),
    [("1100", "0110", 1 / 3), ("1100", "1100", 1), ("1000", "0111", 0), ("1111", "0001", 0.25), ("0000", "0000", 1)],
)
def test_jaccard(a: str, b: str, overlap: float) -> None:
    one, other = (np.array([c == "1" for c in bits]) for bits in (a, b))
    assert jaccard(one, other) == jaccard(other, one) == pytest.approx(overlap)


@pytest.mark.parametrize(
    ("cuts", "frames"),
    [
        ([], []),
        ([1.2], [2]),
        ([2.0], [2]),  # the shot begins with the frame shown at that very time
        ([2.0001], [3]),
        ([0.0, -1.0], []),  # nothing before it
        ([3.0001, 99.0], []),  # no frame after it
        ([0.1, 0.2, 2.5], [1, 3]),
        ([2.5, 0.5], [1, 3]),
    ],
)
def test_the_frame_after_a_cut(cuts: list[float], frames: list[int]) -> None:
    times = {"frame_time": np.arange(4.0), "shot_cuts_s": np.array(cuts)}
    found = cut_tokens(VideoTokens.from_array(np.ones((4, 2, 3, 2), np.float32), signals=times))
    assert found is not None
    assert np.flatnonzero(found).tolist() == [6 * frame + i for frame in frames for i in range(6)]


@pytest.mark.parametrize("missing", ["frame_time", "shot_cuts_s"])
def test_without_both_times_cuts_are_unknown(missing: str) -> None:
    signals = {name: array for name, array in clip().signals.items() if name != missing}
    assert cut_tokens(VideoTokens.from_array(clip().lattice, signals=signals)) is None
