"""Kernels over groups of tokens: numbering, members, centrality, the largest of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
from feature_zoo import DTYPES, ROW_LAYOUTS, SCATTERED_LAYOUTS, features
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stgraph import set_num_threads
from stgraph.kernels.cpu.centrality import group_centrality
from stgraph.kernels.cpu.components import canonical_labels, connected_components, group_members, without_isolated
from stgraph.kernels.cpu.neighbours import neighbour_cosines
from stgraph.kernels.cpu.top import top_of, top_of_groups

Array = np.ndarray[Any, Any]


def centrality(x: Array, labels: Array) -> Array:
    """[N] by the kernel, for any labels of x [T, H, W, d]."""
    canonical, count = canonical_labels(labels)
    return group_centrality(x, neighbour_cosines(x)[1], *group_members(canonical, count))


def check_centrality(x: Array, labels: Array, tolerance: float = 1e-5) -> None:
    found = centrality(x, labels)
    assert found.dtype == np.float32
    assert np.all(np.abs(found) <= 1)
    expected = oracles.centrality(x.reshape(-1, x.shape[-1]), labels)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def random_labels(n: int, n_groups: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, n_groups, n)


# Numbering and members


def graphs() -> st.SearchStrategy[tuple[int, list[tuple[int, int]]]]:
    def edges(n: int) -> st.SearchStrategy[tuple[int, list[tuple[int, int]]]]:
        pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] < p[1])
        return st.tuples(st.just(n), st.lists(pair, max_size=40) if n > 1 else st.just([]))

    return st.integers(1, 30).flatmap(edges)


def endpoints(edges: list[tuple[int, int]]) -> tuple[Array, Array]:
    pairs = np.array(edges, dtype=np.int32).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


@settings(deadline=None, max_examples=100)
@given(graph=graphs())
def test_components_are_those_of_a_search(graph: tuple[int, list[tuple[int, int]]]) -> None:
    n, edges = graph
    labels, count = connected_components(n, *endpoints(edges))
    np.testing.assert_array_equal(labels, oracles.components(n, edges))
    assert count == labels.max() + 1


@settings(deadline=None, max_examples=50)
@given(graph=graphs())
def test_nodes_with_an_edge_are_renumbered_in_order(graph: tuple[int, list[tuple[int, int]]]) -> None:
    n, edges = graph
    place, count, src, dst = without_isolated(n, *endpoints(edges))
    used = sorted({i for edge in edges for i in edge})
    assert count == len(used)
    np.testing.assert_array_equal(np.flatnonzero(place >= 0), used)
    np.testing.assert_array_equal(place[used], np.arange(count))
    assert [(used[a], used[b]) for a, b in zip(src, dst, strict=True)] == edges


INT64 = np.iinfo(np.int64)


@settings(deadline=None, max_examples=100)
@given(labels=st.lists(st.integers(-3, 12) | st.integers(INT64.min, INT64.max), max_size=60))
@example(labels=[INT64.max, INT64.min, 0, INT64.max])
@example(labels=[])
def test_canonical_labels_number_groups_by_first_occurrence(labels: list[int]) -> None:
    found, count = canonical_labels(np.array(labels, dtype=np.int64))
    np.testing.assert_array_equal(found, oracles.canonical(labels))
    assert count == len(set(labels))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
def test_canonical_labels_of_every_integer_type(dtype: Any) -> None:
    labels = np.array([7, 3, 7, 0, 3, 100], dtype=dtype)
    np.testing.assert_array_equal(canonical_labels(labels)[0], [0, 1, 0, 2, 1, 3])


@settings(deadline=None, max_examples=50)
@given(labels=st.lists(st.integers(0, 8), min_size=1, max_size=60))
def test_group_members_are_ascending_and_complete(labels: list[int]) -> None:
    canonical = oracles.canonical(labels).astype(np.int32)
    members, starts = group_members(canonical, int(canonical.max()) + 1)
    cut = [part.tolist() for part in np.split(members, starts[1:-1])]
    assert cut == list(oracles.groups(canonical).values())


# Centrality


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n_groups", [1, 2, 10, 60])
def test_centrality_is_the_mean_of_all_pairs(n_groups: int, dtype: np.dtype[Any]) -> None:
    x = features((4, 5, 6, 37), dtype)
    check_centrality(x, random_labels(120, n_groups))


@pytest.mark.parametrize("layout", [*ROW_LAYOUTS, *SCATTERED_LAYOUTS])
def test_centrality_in_every_layout(layout: str) -> None:
    x = (ROW_LAYOUTS | SCATTERED_LAYOUTS)[layout](features((3, 4, 5, 19)))
    check_centrality(x, random_labels(60, 7))


def test_every_size_of_group() -> None:
    labels = np.repeat(np.arange(20), np.arange(1, 21))  # 1 to 20 members, 210 in all
    check_centrality(features((7, 5, 6, 16)), np.random.default_rng(0).permutation(labels))


def test_groups_that_are_shared_between_threads() -> None:
    x = features((5, 40, 50, 9))
    x[0, 0, :3] = 0
    labels = np.zeros(10_000, dtype=np.int64)
    labels[1::3] = 1  # 3,333 members; 4,700 remain
    labels[2:6000:3] = 2
    assert np.bincount(labels).tolist() == [4667, 3333, 2000]
    check_centrality(x, labels)


@pytest.mark.usefixtures("threads")
def test_every_number_of_threads_gives_the_same_centrality() -> None:
    x = features((5, 40, 50, 9))
    labels = random_labels(10_000, 500)
    labels[::2] = 0  # a group above the size at which threads share it
    seen = set()
    for n in (1, 2, 3, 5):
        set_num_threads(n)
        seen.add(centrality(x, labels).tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize("size", [1e-40, 1e-25, 1e-16, 1e14, 1e16, 1e30, 1e37])
def test_centrality_of_extreme_norms(size: float) -> None:
    x = (features((2, 5, 6, 16)).astype(np.float64) * size).astype(np.float32)
    x[1, 2:] = features((3, 6, 16))
    check_centrality(x, random_labels(60, 4))


def test_zero_norm_token_has_centrality_zero_and_counts_as_a_member() -> None:
    x = features((1, 3, 4, 8))
    x[0, 1, 1] = 0
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    assert centrality(x, labels)[5] == 0
    check_centrality(x, labels)


@pytest.mark.parametrize("zero", [0, 1])
def test_pair_with_a_zero_norm_token(zero: int) -> None:
    x = features((1, 1, 2, 8))
    x[0, 0, zero] = 0
    np.testing.assert_allclose(centrality(x, np.zeros(2, np.int64)), 0, atol=1e-6)


def test_single_token_has_centrality_one_even_without_norm() -> None:
    x = features((1, 1, 3, 8))
    x[0, 0, 1] = 0
    np.testing.assert_array_equal(centrality(x, np.arange(3)), 1)


def test_two_members_are_exactly_tied() -> None:
    x = features((5, 8, 10, 77))
    found = centrality(x, np.repeat(np.arange(200), 2)).reshape(200, 2)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])


@pytest.mark.parametrize("shape", [(4, 3, 5, 16), (4, 1, 5, 16), (4, 3, 1, 16), (6, 1, 1, 16), (1, 4, 5, 16)], ids=str)
def test_pairs_side_by_side_have_the_weight_of_their_edge(shape: tuple[int, ...]) -> None:
    x = features(shape)
    x[0, 0, 0] = 0
    T, H, W, _ = shape
    weights, norms = neighbour_cosines(x)
    at = np.arange(T * H * W).reshape(T, H, W)
    sides = [(at[:, :, :-1], at[:, :, 1:]), (at[:, :-1], at[:, 1:]), (at[:-1], at[1:])]
    for family, (first, second) in enumerate(sides):
        for a, b in zip(first.ravel(), second.ravel(), strict=True):
            labels = np.arange(at.size)
            labels[b] = a
            canonical, count = canonical_labels(labels)
            groups = group_members(canonical, count)
            found = group_centrality(np.full_like(x, np.nan), norms, *groups, weights)  # the features are not read
            assert found[a] == found[b] == weights[family].ravel()[a]
            np.testing.assert_allclose(found, group_centrality(x, norms, *groups), rtol=0, atol=1e-6)


def test_pairs_apart_are_compared_by_their_features() -> None:
    x = features((3, 3, 4, 16))
    weights, norms = neighbour_cosines(x)
    # At the end of a line, at the end of a frame, diagonally, two frames apart.
    for pair in ((3, 4), (8, 12), (0, 5), (1, 25)):
        labels = np.arange(36)
        labels[pair[1]] = pair[0]
        canonical, count = canonical_labels(labels)
        groups = group_members(canonical, count)
        found = group_centrality(x, norms, *groups, weights)
        np.testing.assert_array_equal(found, group_centrality(x, norms, *groups))
        np.testing.assert_allclose(found, oracles.centrality(x.reshape(36, 16), labels), rtol=0, atol=1e-6)


# The largest of each group


few_values = hnp.arrays(np.float64, st.integers(1, 50), elements=st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5, 1.0]))


@settings(deadline=None, max_examples=100)
@given(values=few_values, data=st.data())
def test_top_of_groups_with_many_ties(values: Array, data: st.DataObject) -> None:
    labels = oracles.canonical(data.draw(st.lists(st.integers(0, 4), min_size=values.size, max_size=values.size)))
    n_groups = int(labels.max()) + 1
    counts = np.array(data.draw(st.lists(st.integers(0, 60), min_size=n_groups, max_size=n_groups)))
    found = top_of_groups(values, *group_members(labels.astype(np.int32), n_groups), counts)
    np.testing.assert_array_equal(found, oracles.top(values, labels, counts))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [1, 3, 40, 10**6])
def test_top_of_groups_of_every_size(levels: int, dtype: Any) -> None:
    rng = np.random.default_rng(levels)
    sizes = np.array([1, 2, 255, 256, 257, 1000, 700])
    labels = oracles.canonical(rng.permutation(np.repeat(np.arange(7), sizes)))
    values = (rng.integers(0, levels, labels.size) / levels).astype(dtype)
    members, starts = group_members(labels.astype(np.int32), 7)
    for share in (0.0, 0.1, 0.5, 0.999, 1.0):
        counts = np.ceil(np.diff(starts) * share).astype(np.int64)
        found = top_of_groups(values, members, starts, counts)
        np.testing.assert_array_equal(found, oracles.top(values, labels, counts))


@settings(deadline=None, max_examples=50)
@given(values=few_values, data=st.data())
def test_top_of_some_candidates(values: Array, data: st.DataObject) -> None:
    candidates = np.array(sorted(data.draw(st.sets(st.integers(0, values.size - 1)))), dtype=np.int64)
    k = data.draw(st.integers(0, candidates.size))
    found = top_of(values, candidates, k)
    best = sorted(candidates, key=lambda i: (-values[i], i))[:k]
    np.testing.assert_array_equal(np.flatnonzero(found), sorted(best))
