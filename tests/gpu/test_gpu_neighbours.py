"""Similarities along the lattice by the GPU engine's kernels, in Triton's interpreter, against the CPU engine's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES, GRIDS, ROW_LAYOUTS, SCATTERED_LAYOUTS, features
from tensors import tensor

from stgraph.errors import FeatureError
from stgraph.kernels.cpu import neighbours

pytestmark = pytest.mark.usefixtures("interpreter")
Array = np.ndarray[Any, Any]


def on_gpu(given: Any) -> Any:
    from stgraph.kernels.gpu.neighbours import neighbour_cosines

    return neighbour_cosines(given)


def check_neighbours(x: Array, given: Any) -> None:
    weights, norms = neighbours.neighbour_cosines(x)
    found, found_norms = on_gpu(given)
    np.testing.assert_allclose(found.numpy(), weights, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found_norms.numpy(), norms, rtol=1e-6)


@pytest.mark.parametrize("shape", GRIDS, ids=str)
def test_neighbour_cosines_on_every_grid(shape: tuple[int, ...]) -> None:
    x = features(shape)
    check_neighbours(x, tensor(x))


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_neighbour_cosines_in_half_precision(dtype: Any) -> None:
    x = features((2, 3, 4, 70), dtype)
    check_neighbours(x, tensor(x))


@pytest.mark.parametrize("layout", [*ROW_LAYOUTS, *SCATTERED_LAYOUTS])
def test_neighbour_cosines_in_every_layout(layout: str) -> None:
    x = (ROW_LAYOUTS | SCATTERED_LAYOUTS)[layout](features((2, 3, 2, 8)))
    check_neighbours(x, tensor(x))


def test_neighbour_cosines_beyond_the_range_of_float32() -> None:
    """Zero rows, rows whose squares underflow or overflow, next to each other and to usual ones."""
    x = features((3, 3, 4, 13))
    x[0, 0, 0] = 0
    x[0, 1] *= np.float32(1e-25)
    x[1] *= np.float32(1e25)
    x[2, 2, 3] *= np.float32(1e-30)
    check_neighbours(x, tensor(x))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_neighbour_cosines_of_the_smallest_and_largest_numbers(dtype: Any) -> None:
    """Subnormal ones keep their bits, and the squares of neither leave the range of what they are summed in."""
    import ml_dtypes

    limits = ml_dtypes.finfo(dtype)
    x = features((2, 3, 4, 24)).astype(np.float64)
    x /= np.abs(x).max()
    for scale in (float(limits.smallest_subnormal) * 100, float(limits.smallest_normal), float(limits.max) * 0.99):
        scaled = (x * scale).astype(np.float32).astype(dtype)
        check_neighbours(scaled, tensor(scaled))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_bad_token_is_named(value: float) -> None:
    x = features((2, 3, 4, 70))
    x[1, 2, 3, 0], x[0, 2, 1, 66] = np.nan, value
    with pytest.raises(FeatureError) as expected:
        neighbours.neighbour_cosines(x)
    with pytest.raises(FeatureError) as found:
        on_gpu(tensor(x))
    assert str(found.value) == str(expected.value)
    assert "token is 9 " in str(found.value)
