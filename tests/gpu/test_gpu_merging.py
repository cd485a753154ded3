"""Weighted sums of rows and merged hidden states on tensors, as on NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES, GRIDS, SCATTERED_LAYOUTS, features
from tensors import tensor

import stgraph
from stgraph.devices import to_host
from stgraph.kernels.cpu import merge as cpu

pytest.importorskip("torch")


@pytest.mark.parametrize("most", [1 << 25, 40])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", GRIDS, ids=str)
def test_weighted_sums(shape: tuple[int, ...], dtype: Any, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one part and in several; rows without members are zero."""
    from stgraph.kernels.gpu import merge as gpu

    monkeypatch.setattr(gpu, "ELEMENTS", most)
    rng, x = np.random.default_rng(2), features(shape, dtype)
    members = rng.integers(0, 7, 9)
    members[[0, 4, 8]] = 0
    indptr = np.append(0, np.cumsum(members))
    columns = rng.integers(0, x[..., 0].size, indptr[-1])
    weights = rng.normal(size=columns.size)
    found = gpu.weighted_sums(tensor(x), indptr, columns, weights)
    assert str(found.dtype) == "torch.float32"
    np.testing.assert_allclose(to_host(found), cpu.weighted_sums(x, indptr, columns, weights), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", SCATTERED_LAYOUTS.values(), ids=lambda f: f.__name__)
def test_strides_do_not_matter(layout: Any) -> None:
    from stgraph.kernels.gpu.merge import weighted_sums

    x = features((4, 5, 6, 13))
    matrix = np.array([0, 2, 5]), np.array([3, 119, 0, 64, 3]), np.ones(5)
    assert weighted_sums(tensor(layout(x)), *matrix).equal(weighted_sums(tensor(x), *matrix))


def test_holitom_joins_states_on_tensors_as_on_arrays() -> None:
    rng = np.random.default_rng(3)
    states, kept = rng.normal(size=(40, 6)).astype(np.float32), rng.random(40) < 0.2
    selector = stgraph.selector("holitom-attention", n_keep=8)
    found, expected = (selector.joined(one, kept).toarray() for one in (tensor(states), states))
    assert np.array_equal(found, expected)
