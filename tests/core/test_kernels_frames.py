"""Kernels of the selectors that look at frames and channels, against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES, ROW_LAYOUTS, SCATTERED_LAYOUTS, features

from stgraph.errors import InputError
from stgraph.kernels.cpu.centre_distances import centre_distances
from stgraph.kernels.cpu.channel_variance import channel_variances
from stgraph.kernels.cpu.frame_similarity import frame_cosines
from stgraph.kernels.cpu.neighbours import neighbour_cosines
from stgraph.kernels.cpu.pivots import l1_norms, pivot_cosines
from stgraph.selection.rivals.vidcom2 import lowest_half

Array = np.ndarray[Any, Any]
SHAPE = (9, 3, 4, 21)
LAYOUTS = ROW_LAYOUTS | SCATTERED_LAYOUTS


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_frame_cosines_are_those_of_the_graph(layout: str, dtype: np.dtype[Any]) -> None:
    x = features(SHAPE, dtype)
    x[3, 1, 1] = 0
    weights, norms = neighbour_cosines(x)
    cosine, ours = frame_cosines(LAYOUTS[layout](x), np.arange(9) - 1)
    np.testing.assert_allclose(cosine[1:], weights[2, :-1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours, norms, rtol=1e-6)
    assert not cosine[0].any()
    assert not cosine[3:5, 1, 1].any()


def test_frame_cosines_with_any_frame_and_any_size() -> None:
    x = features(SHAPE)
    reference = np.array([8, 0, -1, 3, 0, 7, 2, 1, 4])
    unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
    expected = (unit * unit[reference]).sum(axis=-1)
    expected[2] = 0
    factors = np.float32(10.0) ** np.random.default_rng(0).choice([-25, 0, 18, 30], SHAPE[:3])
    for scaled in (x, x * factors[..., None].astype(np.float32)):
        cosine, _ = frame_cosines(scaled, reference)
        np.testing.assert_allclose(cosine, expected, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(cosine[3], np.ones((3, 4)))


@pytest.mark.parametrize("reference", [[0, 1], [-2, 0, 1], [0, 1, 3]])
def test_a_reference_that_is_no_frame(reference: list[int]) -> None:
    with pytest.raises(InputError, match=r"expected 3 integers from -1 to 2"):
        frame_cosines(features((3, 2, 2, 4)), np.array(reference))


def plain_distances(x: Array, channels: Array) -> tuple[Array, Array]:
    unit = x.astype(np.float64)[..., channels]
    norms = np.linalg.norm(unit, axis=-1, keepdims=True)
    unit /= np.where(norms == 0, 1, norms)
    centres = unit.mean(axis=(1, 2), keepdims=True), unit.mean(axis=(0, 1, 2))
    to_frame, to_video = (((unit - c) ** 2).sum(axis=-1) for c in centres)
    return to_frame, to_video


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_variances_and_distances(layout: str, dtype: np.dtype[Any]) -> None:
    x = features((5, 3, 7, 18), dtype)
    x[2, 1, 1] = 0
    variances = channel_variances(LAYOUTS[layout](x))
    np.testing.assert_allclose(variances, x.astype(np.float64).var(axis=(0, 1, 2)), rtol=1e-5)
    channels = lowest_half(variances)
    for ours, plain in zip(centre_distances(LAYOUTS[layout](x), channels), plain_distances(x, channels), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 30, 40, 6), (3, 1, 1, 5), (300, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("factor", [1.0, 1e-25, 1e30])
def test_variances_and_distances_of_any_size(shape: tuple[int, ...], factor: float) -> None:
    x = features(shape) * np.float32(factor)
    x[0, 0, 0] *= np.float32(1e-15)
    wide = x.astype(np.float64)
    scale = np.abs(wide).max() ** 2
    np.testing.assert_allclose(channel_variances(x) / scale, wide.var(axis=(0, 1, 2)) / scale, rtol=1e-5, atol=1e-12)
    channels = np.arange(shape[3]) % 2 == 0
    for ours, plain in zip(centre_distances(x, channels), plain_distances(x, channels), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


def test_a_constant_channel_does_not_vary() -> None:
    x = features((9, 3, 4, 5)) * np.float32(1e4)
    x[..., 2] = 0.1
    assert channel_variances(x)[2] == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_pivots", [1, 4, 7])
def test_pivots(layout: str, dtype: np.dtype[Any], n_pivots: int) -> None:
    x, rng = features(SHAPE, dtype), np.random.default_rng(n_pivots)
    x[3, 1, 1] = 0
    x[5, 2, 0] = x[8, 0, 3]
    weights, pivots = rng.normal(size=SHAPE[3]), rng.normal(size=(n_pivots, SHAPE[3]))
    wide = x.astype(np.float64).reshape(-1, SHAPE[3])
    np.testing.assert_allclose(l1_norms(LAYOUTS[layout](x)), abs(wide).sum(axis=1), rtol=1e-13)
    for factors in (None, weights):
        rows = wide if factors is None else wide * factors
        lengths = np.linalg.norm(rows, axis=1)[:, None]
        expected = (rows @ pivots.T) / np.where(lengths == 0, 1, lengths)
        found = pivot_cosines(LAYOUTS[layout](x), pivots, factors)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        assert not found[3 * 12 + 5].any() and np.array_equal(found[5 * 12 + 8], found[8 * 12 + 3])


def test_no_rows_have_no_norms() -> None:
    assert l1_norms(np.empty((1, 1, 0, 4), np.float32)).shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_have_no_cosine(bad: float) -> None:
    x = features((1, 1, 5, 9))
    x[0, 0, 2, 4] = bad
    finite = np.isfinite(pivot_cosines(x, np.eye(9)[:2]))
    assert finite.all(axis=1).tolist() == [True, True, False, True, True]
    assert not np.isfinite(l1_norms(x)[2])
