"""Density peaks against their definition, and where it alone would not decide."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph.community.density import density_peaks, peak_scores, scaled_distances

Array = np.ndarray[Any, Any]


def plain_distances(points: Array) -> Array:
    rows = points.astype(np.float64)
    return np.array([[math.dist(a, b) / math.sqrt(rows.shape[1]) for b in rows] for a in rows])


def plain_scores(distance: Array, k: int) -> list[float]:
    """Density times distance to the nearest point that comes before in (density descending, index) order."""
    n = len(distance)
    density = [math.exp(-sum(d * d for d in sorted(row)[:k]) / min(k, n)) for row in distance.tolist()]
    order = sorted(range(n), key=lambda i: (-density[i], i))
    scores = [0.0] * n
    for place, i in enumerate(order):
        apart = min((distance[i, j] for j in order[:place]), default=distance.max())
        scores[i] = density[i] * apart
    return scores


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 20), d=st.integers(1, 5), k=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_it_is_the_definition(n: int, d: int, k: int, seed: int) -> None:
    points = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    distance = scaled_distances(points)
    np.testing.assert_allclose(distance, plain_distances(points), atol=1e-6)
    np.testing.assert_allclose(np.exp(peak_scores(distance, k)), plain_scores(distance, k), rtol=1e-10, atol=1e-300)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 30), scale=st.sampled_from([1e-20, 1.0, 300.0, 1e15]))
def test_distances_are_a_metric_whatever_the_scale(seed: int, n: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    points = (scale * rng.standard_normal((n, 6))[rng.integers(0, n, n)]).astype(np.float32)
    distance = scaled_distances(points)
    np.testing.assert_array_equal(distance, distance.T)
    assert not np.diagonal(distance).any() and np.isfinite(distance).all()
    for i in range(n):
        for j in np.flatnonzero((points == points[i]).all(axis=1)):
            assert distance[i, j] == 0
            np.testing.assert_array_equal(distance[i], distance[j])
    assert not np.isnan(peak_scores(distance, 4)).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_near_points_keep_their_distance_beside_a_large_mean(dtype: Any) -> None:
    """In float32 products these distances would be rounding."""
    points = np.full((3, 64), 100, dtype)
    points[1:, 0] += dtype.type(0.5)
    points[2, 1] += dtype.type(1)
    np.testing.assert_allclose(scaled_distances(points), plain_distances(points), rtol=1e-6)


def test_equal_points_rank_by_index() -> None:
    scores = peak_scores(scaled_distances(np.ones((9, 3), np.float32)), 4)
    assert density_peaks(scores, 4).tolist() == [0, 1, 2, 3]


def test_a_repeated_point_is_a_peak_once() -> None:
    points = np.array([[5, 5], [0, 0], [5, 5], [9, 0], [5, 5]], np.float32)
    scores = peak_scores(scaled_distances(points), 2)
    assert density_peaks(scores, 3).tolist() == [0, 1, 3]
    assert np.isneginf(scores[[2, 4]]).all()


def test_of_two_mutual_neighbours_the_first_is_the_denser() -> None:
    points = np.array([[0.0], [1.0]], np.float32)
    scores = peak_scores(scaled_distances(points), 2)
    assert scores[0] == scores[1]  # both 1 * exp(-1/2): the largest distance, and that to the denser
    assert density_peaks(scores, 1).tolist() == [0]


def test_the_order_outlives_densities_that_underflow() -> None:
    points = np.array([[0], [100], [190], [270], [1000]], np.float32)
    distance = scaled_distances(points)
    assert not any(plain_scores(distance, 2)[:3])
    # Sparsities are 5000, 4050, 3200, 3200 (after 2 by index) and 266450.
    assert np.argsort(-peak_scores(distance, 2), kind="stable").tolist() == [2, 3, 1, 0, 4]


def test_one_point_is_its_own_peak() -> None:
    scores = peak_scores(scaled_distances(np.zeros((1, 4), np.float32)), 7)
    assert density_peaks(scores, 1).tolist() == [0]
    assert density_peaks(scores, 0).size == 0
