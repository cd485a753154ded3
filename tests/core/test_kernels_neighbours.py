"""Edge weights: against the oracle, over every shape, dtype and layout; and the laws they obey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from feature_zoo import DTYPES, GRIDS, ROW_LAYOUTS, SCATTERED_LAYOUTS, features
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph import set_num_threads
from stgraph.errors import FeatureError
from stgraph.kernels.cpu.centrality import group_centrality
from stgraph.kernels.cpu.components import canonical_labels, connected_components, group_members
from stgraph.kernels.cpu.edge_list import edges_above
from stgraph.kernels.cpu.neighbours import neighbour_cosines

Array = np.ndarray[Any, Any]
ON = (True, True, True)
TOLERANCE = 2e-6


def check_against_oracle(x: Array, tolerance: float = TOLERANCE) -> None:
    weights, norms = neighbour_cosines(x)
    assert weights.dtype == np.float32
    assert norms.dtype == np.float64
    np.testing.assert_allclose(weights, oracles.neighbour_cosines(x), rtol=0, atol=tolerance)  # NaN equals NaN
    wide = x.astype(np.float64)
    np.testing.assert_allclose(norms, np.sqrt((wide * wide).sum(axis=-1)), rtol=1e-6)
    present = weights[~np.isnan(weights)]
    assert np.all(np.abs(present) <= 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", GRIDS, ids=str)
def test_weights_are_cosines(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    check_against_oracle(features(shape, dtype))


@pytest.mark.parametrize("layout", SCATTERED_LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3, 4, 8), (5, 2, 7, 33), (3, 3, 3, 1), (1, 1, 5, 3)], ids=str)
def test_scattered_layouts(shape: tuple[int, ...], layout: str) -> None:
    x = SCATTERED_LAYOUTS[layout](features(shape))
    np.testing.assert_array_equal(x, features(shape))
    check_against_oracle(x)


@pytest.mark.parametrize("layout", ROW_LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3, 4, 8), (5, 2, 7, 33), (3, 3, 3, 1), (1, 1, 5, 3)], ids=str)
def test_row_layouts_agree_to_the_bit(shape: tuple[int, ...], layout: str) -> None:
    x = ROW_LAYOUTS[layout](features(shape))
    np.testing.assert_array_equal(x, features(shape))
    for ours, plain in zip(neighbour_cosines(x), neighbour_cosines(features(shape)), strict=True):
        assert ours.tobytes() == plain.tobytes()


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
@pytest.mark.parametrize("layout", ["reversed", "channels first", "misaligned"])
def test_layouts_of_half_precision(layout: str, dtype: np.dtype[Any]) -> None:
    change = (ROW_LAYOUTS | SCATTERED_LAYOUTS)[layout]
    check_against_oracle(change(features((3, 4, 5, 21), dtype)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_where_an_array_starts_in_memory_changes_no_bit(dtype: np.dtype[Any]) -> None:
    x = features((3, 4, 5, 64), dtype)
    labels = np.arange(60) % 7
    canonical, count = canonical_labels(labels)
    seen = set()
    for start in range(33):
        moved = np.zeros(x.size + 33, dtype)[start:][: x.size].reshape(x.shape)
        moved[:] = x
        weights, norms = neighbour_cosines(moved)
        central = group_centrality(moved, norms, *group_members(canonical, count))
        seen.add(weights.tobytes() + norms.tobytes() + central.tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize("shape", [(1, 3, 4, 8), (3, 1, 1, 8), (1, 1, 1, 8), (3, 3, 4, 1)], ids=str)
def test_broadcast_views(shape: tuple[int, ...]) -> None:
    check_against_oracle(np.broadcast_to(features(shape), (3, 3, 4, 8)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_memory_mapped(tmp_path: Path, dtype: np.dtype[Any]) -> None:
    x = features((3, 4, 5, 24), dtype)
    (tmp_path / "x.bin").write_bytes(b"head" + x.tobytes())
    mapped = np.memmap(tmp_path / "x.bin", mode="r", offset=4).view(dtype).reshape(x.shape)
    assert neighbour_cosines(mapped)[0].tobytes() == neighbour_cosines(x)[0].tobytes()


def test_float32_sums_stay_accurate_in_high_dimension() -> None:
    check_against_oracle(features((2, 2, 3, 20_000)), 1e-5)


@pytest.mark.parametrize("shape", GRIDS, ids=str)
def test_nan_exactly_where_the_lattice_ends(shape: tuple[int, ...]) -> None:
    weights, _ = neighbour_cosines(features(shape))
    missing = np.isnan(weights)
    ends = np.zeros_like(missing)
    ends[oracles.RIGHT, :, :, -1] = ends[oracles.BOTTOM, :, -1] = ends[oracles.TEMPORAL, -1] = True
    np.testing.assert_array_equal(missing, ends)


@pytest.mark.parametrize("zeros", [0.0, -0.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_zero_norm_token_has_weight_zero_on_all_its_edges(dtype: np.dtype[Any], zeros: float) -> None:
    x = features((3, 3, 3, 8), dtype)
    x[1, 1, 1] = zeros
    weights, norms = neighbour_cosines(x)
    assert norms[1, 1, 1] == 0
    assert np.count_nonzero(norms == 0) == 1
    right, bottom, temporal = weights
    edges = (right[1, 1, 1], right[1, 1, 0], bottom[1, 1, 1], bottom[1, 0, 1], temporal[1, 1, 1], temporal[0, 1, 1])
    assert edges == (0,) * 6
    assert np.count_nonzero(weights == 0) == 6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_first_bad_token_is_named(dtype: np.dtype[Any], value: float) -> None:
    x = features((3, 2, 4, 9), dtype)
    x[2, 1, 3, 0] = value
    x[1, 0, 2, 8] = value  # token (1 * 2 + 0) * 4 + 2
    with pytest.raises(FeatureError, match=r"NaN or Inf.* token is 10 \(frame 1, row 0, column 2\)"):
        neighbour_cosines(x)


@pytest.mark.parametrize("token", range(6))
def test_one_bad_token_anywhere_is_found(token: int) -> None:
    x = features((3, 1, 2, 5))
    x.reshape(6, 5)[token, 4] = np.nan
    with pytest.raises(FeatureError, match=f"first bad token is {token} "):
        neighbour_cosines(x)


SIZES = (1e-45, 1e-40, 1e-30, 1e-20, 1e-10, 1e10, 1e16, 1e25, 1e38)


@pytest.mark.parametrize("size", SIZES)
def test_extreme_norms(size: float) -> None:
    x = (features((3, 3, 4, 16)).astype(np.float64) * size / 8).clip(-3e38, 3e38).astype(np.float32)
    check_against_oracle(x)


def test_extreme_norms_side_by_side() -> None:
    rng = np.random.default_rng(0)
    x = features((4, 4, 5, 16)) * rng.choice([*SIZES[1:-1], 1.0], (4, 4, 5, 1)).astype(np.float32)
    check_against_oracle(x)


def test_largest_floats() -> None:
    x = np.full((2, 2, 2, 32), np.finfo(np.float32).max)
    x[1] *= -1
    weights, _ = neighbour_cosines(x)
    np.testing.assert_array_equal(weights[oracles.TEMPORAL, 0], -1)
    np.testing.assert_array_equal(weights[oracles.RIGHT, :, :, 0], 1)


def test_parallel_and_opposite_tokens_stay_within_one() -> None:
    row = features((1, 1, 1, 101))
    signs = np.where(np.arange(60).reshape(3, 4, 5, 1) % 3 == 0, -1, 1).astype(np.float32)
    weights, _ = neighbour_cosines(row * signs * np.linspace(0.1, 9, 60, dtype=np.float32).reshape(3, 4, 5, 1))
    present = weights[~np.isnan(weights)]
    assert np.all(np.abs(present) <= 1)
    np.testing.assert_allclose(np.abs(present), 1, atol=TOLERANCE)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 7, 3, 19), (4, 5, 6, 13), (11, 3, 4, 30), (2, 1, 1, 8)], ids=str)
def test_every_number_of_threads_gives_the_same_bits(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    x = features(shape, dtype)
    seen = set()
    for n in (1, 2, 3, 5):
        set_num_threads(n)
        weights, norms = neighbour_cosines(x)
        seen.add(weights.tobytes() + norms.tobytes())
    assert len(seen) == 1


shapes = st.tuples(*[st.integers(1, 5)] * 3, st.integers(1, 40))
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=40)
@given(shape=shapes, seed=seeds)
def test_random_grids(shape: tuple[int, ...], seed: int) -> None:
    check_against_oracle(features(shape, seed=seed))


@settings(deadline=None, max_examples=40)
@given(shape=shapes, seed=seeds)
def test_scaling_tokens_changes_nothing(shape: tuple[int, ...], seed: int) -> None:
    x = features(shape, seed=seed)
    scale = 10.0 ** np.random.default_rng(seed).uniform(-12, 12, (*shape[:3], 1))
    scaled = (x * scale).astype(np.float32)
    np.testing.assert_allclose(neighbour_cosines(scaled)[0], neighbour_cosines(x)[0], rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(shape=shapes, seed=seeds, tau=st.floats(-1, 1))
def test_mirroring_the_video_mirrors_weights_and_components(shape: tuple[int, ...], seed: int, tau: float) -> None:
    x = features(shape, seed=seed)
    T, H, W, _ = shape
    weights, mirrored = neighbour_cosines(x)[0], neighbour_cosines(x[:, :, ::-1])[0]
    expected = weights[:, :, :, ::-1].copy()
    expected[oracles.RIGHT, :, :, : W - 1] = weights[oracles.RIGHT, :, :, : W - 1][:, :, ::-1]
    expected[oracles.RIGHT, :, :, W - 1] = np.nan
    np.testing.assert_allclose(mirrored, expected, rtol=0, atol=TOLERANCE)

    if np.nanmin(np.abs(weights - tau), initial=1) < 2 * TOLERANCE:
        return  # a tie at the threshold may fall either way
    labels = [connected_components(T * H * W, *edges_above(w, tau, ON)[:2])[0] for w in (weights, mirrored)]
    there = labels[0].reshape(T, H, W)[:, :, ::-1].ravel()
    np.testing.assert_array_equal(labels[1], oracles.canonical(there))
