"""LLaVA-Scissor: known components, the merges that meet a budget, and single linkage against plain Kruskal."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from feature_zoo import GRIDS, LOOKS, disguise, features

from stgraph import VideoTokens, selector
from stgraph.errors import FeatureError, InputError
from stgraph.kernels.cpu.spanning_tree import joining_edges, maximum_spanning_tree
from stgraph.kernels.cpu.threads import set_num_threads
from stgraph.selection.algorithms import single_linkage
from stgraph.selection.reasons import CONTEXT
from stgraph.selection.result import Selection

Array = np.ndarray[Any, Any]


def scissor(x: Array, **how: Any) -> Selection:
    return selector("llava-scissor", **how).select(VideoTokens.from_array(x))


def directions(*names: int, d: int = 6) -> Array:
    """One row a token: unit vectors along the axes named."""
    return np.eye(d, dtype=np.float32)[list(names)]


@pytest.mark.parametrize("grid", GRIDS[1:])
@pytest.mark.parametrize("look", LOOKS)
def test_exactly_k_components_whatever_the_video(grid: tuple[int, ...], look: str) -> None:
    x = features(grid)
    disguise(x, look, 3)
    n = int(np.prod(grid[:3]))
    for k in sorted({1, 2, n // 3, n // 2, n - 1} - {0}):
        kept = scissor(x, n_keep=k, tau=0.8)
        assert len(kept) == k
        assert (np.diff(kept.indices) > 0).all()
        assert kept.kind == "merge" and kept.positions == "compact"
        assert kept.features is not None and np.isfinite(kept.features).all()
        assert (kept.reason == CONTEXT).all()
        np.testing.assert_allclose(kept.assignment.sum(axis=1), 1, rtol=1e-5)  # (1 + count) / (count + 1)
        assert kept.scores.sum() == n  # every token is assigned once
        assert kept.report["n_first_stage"] >= k


def test_known_components_and_their_features() -> None:
    x = np.stack([directions(0, 0, 1), directions(1, 2, 0)])[:, None]
    x *= np.arange(1, 7, dtype=np.float32).reshape(2, 1, 3, 1)  # lengths 1..6 change no cosine
    kept = scissor(x, n_keep=3)
    assert kept.exactness == "exact"
    assert kept.indices.tolist() == [0, 2, 4]
    first = ((1 + 2) / 2 + 6) / 2  # the mean of two means, one of them of two tokens
    expected = np.zeros((3, 6), np.float32)
    expected[0, 0] = (first + 1 + 2 + 6) / 4
    expected[1, 1] = ((3 + 4) / 2 + 3 + 4) / 3
    expected[2, 2] = (5 + 5) / 2
    np.testing.assert_allclose(kept.features, expected, rtol=1e-6)
    assert kept.scores.tolist() == [3, 2, 1]


def test_tau_alone_is_single_linkage_at_tau() -> None:
    x = features((3, 4, 5, 12), seed=3)
    loose = scissor(x, retain_ratio=0.5, tau=0.7, exact_count=False)
    assert selector("llava-scissor", retain_ratio=0.5, exact_count=False).count(loose.grid) is None
    assert 1 < len(loose) < 60
    fitted = scissor(x, n_keep=len(loose), tau=0.7)
    assert fitted.exactness == loose.exactness == "exact"
    np.testing.assert_array_equal(fitted.indices, loose.indices)
    np.testing.assert_array_equal(fitted.features, loose.features)
    other = scissor(x, n_keep=len(loose) - 1, tau=0.7)
    assert other.exactness.startswith("approximate: tau")
    assert other.report["weakest_merge"][1] <= 0.7


def test_the_first_stage_merges_at_most_n_minus_k_times_strongest_first() -> None:
    x = features((4, 3, 3, 9), seed=1)
    units = x / np.linalg.norm(x, axis=-1, keepdims=True)
    pairs = []
    for t, frame in enumerate(units.reshape(4, 9, -1)):
        low, high, cosine = maximum_spanning_tree(frame @ frame.T)
        pairs += list(zip(-cosine, low + 9 * t, high + 9 * t, strict=True))
    pairs.sort()
    kept = scissor(x, n_keep=30, tau=0.0)
    assert kept.report["n_merges"] == [6, 0]
    assert kept.report["weakest_merge"] == [pytest.approx(-pairs[5][0]), None]
    dropped = {int(high) for _, _, high in pairs[:6]} | {int(low) for _, low, _ in pairs[:6]}
    assert set(range(36)) - set(kept.indices.tolist()) <= dropped


def test_equal_tokens_merge_in_order() -> None:
    x = np.broadcast_to(features((1, 1, 1, 3584), seed=5), (1, 3, 4, 3584)).copy()
    kept = scissor(x, n_keep=5)
    assert kept.indices.tolist() == [0, 8, 9, 10, 11]
    assert kept.scores.tolist() == [12, 0, 0, 0, 0]  # all are most similar to all; the first wins
    np.testing.assert_allclose(kept.features, np.broadcast_to(x[0, 0, 0], (5, 3584)), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_features_are_compared_in_float32(dtype: Any) -> None:
    x = features((2, 4, 3, 10), dtype)
    narrow, wide = scissor(x, n_keep=7), scissor(x.astype(np.float32), n_keep=7)
    np.testing.assert_array_equal(narrow.indices, wide.indices)
    np.testing.assert_array_equal(narrow.assignment.toarray(), wide.assignment.toarray())
    assert narrow.features is not None and narrow.features.dtype == x.dtype


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_extreme_lengths_change_nothing(scale: float) -> None:
    x = features((2, 4, 3, 10))
    np.testing.assert_array_equal(scissor(x, n_keep=7).indices, scissor(x * np.float32(scale), n_keep=7).indices)


@pytest.mark.usefixtures("threads")
def test_the_number_of_threads_changes_nothing() -> None:
    x = features((6, 5, 4, 24))
    results = []
    for n in (1, 3):
        set_num_threads(n)
        results.append(scissor(x, n_keep=20, tau=0.7))
    np.testing.assert_array_equal(results[0].indices, results[1].indices)
    np.testing.assert_array_equal(results[0].features, results[1].features)


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    x = features((2, 3, 4, 8))
    with pytest.raises(InputError, match=r"tau is 1\.5; it must be a number in"):
        scissor(x, n_keep=3, tau=1.5)
    monkeypatch.setattr(single_linkage, "MOST_NODES", 15)
    with pytest.raises(InputError, match=r"components of the first stage are 24; .* at most 15 .* fewer frames"):
        scissor(x, n_keep=3)
    monkeypatch.setattr(single_linkage, "MOST_NODES", 5)
    with pytest.raises(InputError, match="tokens of a frame are 12"):
        scissor(x, n_keep=3)
    x[1, 2, 0, 3] = np.nan
    with pytest.raises(FeatureError, match="first bad token is 20"):
        scissor(x, n_keep=3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [2, 4, 1000])
def test_the_spanning_tree_is_kruskals(seed: int, levels: int) -> None:
    rng, n = np.random.default_rng(seed), 40
    similarity = np.round(rng.uniform(-1, 1, (n, n)) * levels).astype(np.float32) / levels  # many ties
    similarity = np.maximum(similarity, similarity.T)
    edges = sorted((-similarity[a, b], a, b) for a, b in combinations(range(n), 2))
    taken = joining_edges(n, *(np.array([e[i] for e in edges], np.int32) for i in (1, 2)), n)
    expected = [edge for edge, joins in zip(edges, taken, strict=True) if joins]
    low, high, weight = maximum_spanning_tree(similarity)
    assert list(zip(-weight, low, high, strict=True)) == expected
    assert joining_edges(n, low, high, 7).sum() == 7
