"""Weighted sums of rows, pyramids of means, spanning trees and merged hidden states on tensors, as on NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES, GRIDS, SCATTERED_LAYOUTS, features
from tensors import same, tensor

import stgraph
from stgraph import VideoTokens
from stgraph.devices import to_host
from stgraph.kernels import kernels_for
from stgraph.kernels.cpu import merge as cpu
from stgraph.kernels.cpu.spanning_tree import maximum_spanning_tree
from stgraph.selection.algorithms.quadtree import build_pyramid

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


@pytest.mark.parametrize("scale", [1, 1e-20, 1e17])
@pytest.mark.parametrize("most", [1 << 25, 100])
@pytest.mark.parametrize("shape", [(3, 7, 10, 9), (2, 8, 8, 5), (2, 1, 5, 4), (4, 3, 1, 4)], ids=str)
@pytest.mark.usefixtures("interpreter")
def test_pyramids(shape: tuple[int, ...], most: int, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sides of odd length, zero rows, equal rows, norms that float32 cannot square; in one part and in several."""
    from stgraph.kernels.gpu import chunks, quadtree

    for module in (chunks, quadtree):
        monkeypatch.setattr(module, "ELEMENTS", most)
    x = features(shape) * np.float32(scale)
    x[0, 0, 0], x[1] = 0, x[0]
    found, expected = (build_pyramid(VideoTokens.from_array(one), 0) for one in (tensor(x), x))
    np.testing.assert_allclose(to_host(found.means), expected.means, rtol=1e-5, atol=1e-6 * scale)
    np.testing.assert_allclose(to_host(found.norms), expected.norms, rtol=1e-5)
    np.testing.assert_allclose(found.least, expected.least, atol=1e-5)
    n, rng = x[..., 0].size, np.random.default_rng(5)
    a, b = rng.integers(0, n, 40), rng.integers(0, len(expected.means), 40)
    made = [
        to_host(kernels_for(one, "quadtree").pair_cosines(one, p.norms[:n], p.means, p.norms[n:], a, b))
        for one, p in ((tensor(x), found), (x, expected))
    ]
    np.testing.assert_allclose(made[0], made[1], atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 40, 65])
@pytest.mark.parametrize("levels", [2, 4, 1000])
@pytest.mark.parametrize("most", [1 << 25, 100])
def test_spanning_trees(n: int, levels: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edge by edge as on the CPU, however many are equal."""
    from stgraph.kernels.gpu import spanning_tree as gpu

    monkeypatch.setattr(gpu, "ELEMENTS", most)
    rng = np.random.default_rng(n)
    similarity = np.round(rng.uniform(-1, 1, (n, n)) * levels).astype(np.float32) / levels
    similarity = np.maximum(similarity, similarity.T)
    for found, expected in zip(
        gpu.maximum_spanning_tree(tensor(similarity)), maximum_spanning_tree(similarity), strict=True
    ):
        same(found, expected)
    units = rng.normal(size=(n, 9)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    products = gpu.unit_products(tensor(units))
    assert products.equal(products.T)
    np.testing.assert_allclose(to_host(products), units @ units.T, atol=1e-6)
