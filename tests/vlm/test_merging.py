"""Merged features: the kernel against plain NumPy, and a merging selection in the caller's array library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES, GRIDS, ROW_LAYOUTS, SCATTERED_LAYOUTS, features
from scipy.sparse import csr_array

from stgraph import Selection, VideoTokens, container
from stgraph.errors import InputError
from stgraph.kernels.cpu.merge import weighted_sums
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, finish

Array = np.ndarray[Any, Any]


def sparse(n_rows: int, n_columns: int, seed: int = 0) -> csr_array:
    """Rows of very different lengths, empty ones among them."""
    rng = np.random.default_rng(seed)
    made = rng.random((n_rows, n_columns), np.float32)
    return csr_array(made * (rng.random(made.shape) < 0.3))


def plain(matrix: csr_array, x: Array) -> Array:
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    product: Array = matrix.toarray().astype(np.float64) @ rows
    return product


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", GRIDS, ids=str)
def test_weighted_sums(shape: tuple[int, ...], dtype: Any) -> None:
    x = features(shape, dtype)
    matrix = sparse(9, x[..., 0].size)
    found = weighted_sums(x, matrix.indptr, matrix.indices, matrix.data)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain(matrix, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", [*ROW_LAYOUTS.values(), *SCATTERED_LAYOUTS.values()], ids=lambda f: f.__name__)
def test_strides_do_not_matter(layout: Any) -> None:
    x = features((4, 5, 6, 13))
    matrix = sparse(30, 120)
    given = (matrix.indptr, matrix.indices, matrix.data)
    np.testing.assert_allclose(weighted_sums(layout(x), *given), weighted_sums(x, *given), atol=1e-5)


@pytest.fixture
def merged() -> tuple[VideoTokens, Selection, Array]:
    """Three tokens, one of them merged from four."""
    tokens = VideoTokens.from_array(features((2, 3, 4, 7)))
    weights = np.array([1, 0.5, 0.25, 2, 1, 1], np.float32)
    matrix = csr_array((weights, np.array([0, 3, 9, 20, 5, 23]), np.array([0, 4, 5, 6])), shape=(3, 24))
    choice = Choice(np.array([0, 5, 23]), 6, np.ones(3), merge=matrix)
    kept = finish(choice, tokens, tokens, Budget(n_keep=3), {"selector": "by hand"}, {"selection": 0.0})
    return tokens, kept, plain(matrix, tokens.lattice)


def test_a_merging_choice_becomes_a_merging_selection(merged: tuple[VideoTokens, Selection, Array]) -> None:
    tokens, kept, expected = merged
    assert kept.kind == "merge"
    assert kept.assignment.shape == (3, 24)
    assert kept.features is not None
    np.testing.assert_allclose(kept.features, expected, rtol=1e-5)
    np.testing.assert_allclose(kept.gather(tokens.features), expected, rtol=1e-5)
    np.testing.assert_allclose(kept.gather(tokens.features.reshape(24, 7)), expected, rtol=1e-5)
    assert kept.account == TokenAccount(24, 3, 3)
    assert kept.reasons() == {"context": 3}
    with pytest.raises(InputError, match="one row for each of the 24 input tokens"):
        kept.gather(np.zeros((23, 7), np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_torch_features_are_merged_by_torch(merged: tuple[VideoTokens, Selection, Array], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    tokens, kept, expected = merged
    x = torch.from_numpy(tokens.lattice).to(getattr(torch, dtype))
    out = kept.gather(x)
    assert isinstance(out, torch.Tensor)
    assert out.dtype == x.dtype
    np.testing.assert_allclose(out.float().numpy(), expected, rtol=1e-5 if dtype == "float32" else 2e-2, atol=2e-2)


def test_newline_rows_are_skipped_by_the_assignment() -> None:
    from stgraph import TokenGrid

    kind = np.array([0, 0, 1, 0, 0, 1], np.uint8)
    tokens = VideoTokens(features((1, 1, 6, 4)).reshape(6, 4), TokenGrid(1, 2, 2, kind))
    matrix = csr_array((np.ones(3, np.float32), np.array([1, 2, 3]), np.array([0, 3])), shape=(1, 4))
    kept = finish(Choice(np.array([1]), 6, np.ones(1), merge=matrix), tokens, tokens, Budget(n_keep=1), {}, {})
    assert kept.assignment.shape == (1, 6)
    assert kept.assignment.indices.tolist() == [1, 3, 4]
    np.testing.assert_allclose(kept.gather(tokens.features)[0], tokens.features[[1, 3, 4]].sum(0), rtol=1e-5)


def test_a_saved_merge_reads_back(tmp_path: Path, merged: tuple[VideoTokens, Selection, Array]) -> None:
    tokens, kept, expected = merged
    kept.save(tmp_path / "kept.safetensors", tokens)
    tensors, metadata = container.read(tmp_path / "kept.safetensors", "selection")
    parts = [tensors[f"assignment_{name}"] for name in ("weights", "indices", "indptr")]
    np.testing.assert_array_equal(csr_array(tuple(parts), shape=(3, 24)).toarray(), kept.assignment.toarray())
    np.testing.assert_allclose(tensors["features"], expected, rtol=1e-5)
    assert (metadata["kind"], metadata["exactness"], metadata["positions"]) == ("merge", "exact", "original")
    assert metadata["account"]["n_input"] == 3
