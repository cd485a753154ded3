"""The same answer from every engine, on any number of threads, from features of any dtype, layout and size."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import oracles
import pytest
from feature_zoo import DTYPES, KINDS, ROW_LAYOUTS, SCATTERED_LAYOUTS, features
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import lattice

import stgraph
from stgraph import EdgeList, TokenGrid, VideoTokens, build_graph, detect_communities, set_num_threads
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens
from stgraph.community.base import BACKENDS, backend
from stgraph.errors import FeatureError, GridError, InputError
from stgraph.selection.base import SELECTORS

Array = np.ndarray[Any, Any]
LAYOUTS = ROW_LAYOUTS | SCATTERED_LAYOUTS
TOLERANCE = 2e-6
HERE = [
    name
    for name in BACKENDS.names()
    if backend(name).unavailable() is None and backend(name).capabilities.reads == "edges"
]
COMPONENTS = [name for name in HERE if backend(name).capabilities.objective == "none"]
DETERMINISTIC = [name for name in HERE if backend(name).capabilities.deterministic]

# The largest element of each token, from the smallest number of a dtype to its largest.
SIZES: dict[str, tuple[float, ...]] = {
    "float32": (1e-45, 1e-40, 1e-38, 1e-30, 1e-16, 1.0, 1e15, 1e19, 1e30, 3.4e38),
    "float16": (6e-8, 6e-5, 1.0, 1e3, 65504.0),
    "bfloat16": (1e-40, 1e-38, 1e-30, 1e-16, 1.0, 1e15, 1e19, 1e30, 3.3e38),
}
# Their authors' density of a token is exp(-squared distance), which no scale leaves as it is.
SIZE_MATTERS = {
    "fastvid",
    "flashvid",
    "flashvid-attention",
    "holitom",
    "holitom-attention",
    "prunevid",
    "prunevid-attention",
    "sparsevlm",
}
MERGING = {"prumerge", "prumerge+", "visionzip"}  # with weights that do not add up to 1
shapes = st.tuples(*[st.integers(1, 5)] * 3, st.integers(1, 24))
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(DTYPES)


def sized(shape: tuple[int, ...], dtype: np.dtype[Any], rng: np.random.Generator, size: float | None = None) -> Array:
    """Finite features whose tokens have the largest element ``size``, or each another."""
    x = features(shape, np.float64, int(rng.integers(2**32)))
    x /= np.abs(x).max(axis=-1, keepdims=True) + 1e-300
    sizes = SIZES[str(dtype)]
    with np.errstate(under="ignore", over="ignore"):
        made: Array = (x * (rng.choice(sizes, (*shape[:3], 1)) if size is None else size)).astype(dtype)
    assert np.isfinite(made.astype(np.float64)).all()
    return made


def among_others(x: Array, layout: str, kinds: Any) -> VideoTokens:
    """The tokens of a lattice [T, H, W, d], in some layout, with newlines or separators between them where wanted."""
    if kinds is None:
        return VideoTokens.from_array(LAYOUTS[layout](x))
    kind = kinds(*x.shape[:3])
    rows = np.zeros((kind.size, x.shape[-1]), x.dtype)
    rows[kind == 0] = x.reshape(-1, x.shape[-1])
    wide = LAYOUTS[layout](rows[None, None])  # the layouts are of four axes
    return VideoTokens(wide[0, 0], TokenGrid(*x.shape[:3], kind))


@pytest.mark.usefixtures("threads")
@settings(deadline=None, max_examples=120)
@given(
    shape=shapes,
    dtype=dtypes,
    layout=st.sampled_from(sorted(LAYOUTS)),
    kinds=st.sampled_from([None, *KINDS]),
    n_threads=st.integers(1, 7),
    seed=seeds,
    tau=st.floats(-1, 1),
)
def test_engines_agree(
    shape: tuple[int, ...], dtype: Any, layout: str, kinds: Any, n_threads: int, seed: int, tau: float
) -> None:
    """Weights are those of the float64 formula; both component engines find what a plain search finds above them."""
    x = sized(shape, dtype, np.random.default_rng(seed))
    set_num_threads(n_threads)
    graph = build_graph(among_others(x, layout, kinds), tau)
    there = ~np.isnan(graph.similarity)
    assert np.abs(graph.similarity[there]).max(initial=0) <= 1
    np.testing.assert_allclose(graph.similarity, oracles.neighbour_cosines(x), rtol=0, atol=TOLERANCE)
    pairs = oracles.edges_above(graph.similarity.astype(np.float64), tau)
    assert list(zip(graph.edges.src.tolist(), graph.edges.dst.tolist(), strict=True)) == pairs
    expected = oracles.components(graph.n_nodes, pairs)
    for name in COMPONENTS:
        np.testing.assert_array_equal(detect_communities(graph, name, max_size=None).labels, expected)


@pytest.mark.usefixtures("threads")
@settings(deadline=None, max_examples=60)
@given(shape=shapes, dtype=dtypes, layout=st.sampled_from(sorted(ROW_LAYOUTS)), n_threads=st.integers(2, 7), seed=seeds)
def test_layout_and_threads_change_no_bit(
    shape: tuple[int, ...], dtype: Any, layout: str, n_threads: int, seed: int
) -> None:
    x = sized(shape, dtype, np.random.default_rng(seed))
    set_num_threads(1)
    plain = build_graph(VideoTokens.from_array(x))
    set_num_threads(n_threads)
    other = build_graph(VideoTokens.from_array(ROW_LAYOUTS[layout](x)))
    assert other.similarity.tobytes() == plain.similarity.tobytes()
    assert other.norms.tobytes() == plain.norms.tobytes()


@cache
def scenes() -> VideoTokens:
    """Scenes with every signal."""
    return synthetic_signals(VideoTokens.from_array(synthetic_tokens(5, 4, 6, 12, seed=1)))


def resized(dtype: str, size: float, mixed: bool) -> VideoTokens:
    """The scenes, tokens having the largest element ``size``, or each one of three sizes."""
    rng, plain = np.random.default_rng(0), scenes()
    x = np.asarray(plain.features, np.float64)
    x = x / np.abs(x).max(axis=-1, keepdims=True)
    x *= rng.choice([size, 1.0, SIZES[dtype][0]], (5, 4, 6, 1)) if mixed else size
    return VideoTokens(x.astype(dict(zip(SIZES, DTYPES, strict=True))[dtype]), plain.grid, plain.signals)


@pytest.mark.parametrize("mixed", [False, True], ids=["alike", "mixed"])
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("name", SELECTORS.names())
def test_selectors_take_features_of_any_size(name: str, dtype: str, mixed: bool) -> None:
    for size in (SIZES[dtype][0], SIZES[dtype][-1]):
        check_selection(name, resized(dtype, size, mixed))


def check_selection(name: str, tokens: VideoTokens) -> None:
    chosen = stgraph.selector(name, retain_ratio=0.3)
    try:
        kept = chosen.select(tokens)
    except FeatureError as error:  # a weighted sum of the largest numbers of a dtype can be larger than all of them
        assert f"merged features overflow {tokens.dtype}" in str(error)
        assert name in MERGING
        return
    count = chosen.count(tokens.grid)
    assert count is None or len(kept) == count
    assert np.isfinite(kept.scores).all()
    assert np.isfinite(np.asarray(kept.gather(tokens.features.reshape(-1, 12))).astype(np.float64)).all()


@pytest.mark.parametrize("power", [-60, 60, 100])
@pytest.mark.parametrize("name", sorted(set(SELECTORS.names()) - SIZE_MATTERS))
def test_a_power_of_two_changes_no_choice(name: str, power: int) -> None:
    """Scaling by it loses no bit, and every method looks at directions or compares like with like."""
    tokens = scenes()
    x = np.asarray(tokens.features)
    scaled = VideoTokens(np.ldexp(x, power), tokens.grid, tokens.signals)
    select = stgraph.selector(name, retain_ratio=0.3).select
    np.testing.assert_array_equal(select(scaled).indices, select(tokens).indices)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_twenty_runs_give_the_same_communities(name: str) -> None:
    edges = lattice((3, 6, 6), share=0.8)
    runs = {detect_communities(edges, name, max_size="sqrt", seed=3).labels.tobytes() for _ in range(20)}
    assert len(runs) == 1


@pytest.mark.parametrize("name", SELECTORS.names())
def test_twenty_runs_give_the_same_selection(name: str) -> None:
    tokens = scenes()
    runs = {stgraph.selector(name, retain_ratio=0.3).select(tokens).indices.tobytes() for _ in range(20)}
    assert len(runs) == 1


LARGEST = 2**31 - 1


def test_grids_up_to_the_last_node_id_take_no_memory() -> None:
    for shape in ((LARGEST, 1, 1), (1, 46340, 46340), (1, 1, LARGEST)):
        grid = TokenGrid(*shape)
        assert grid.position(grid.n_nodes - 1) == tuple(n - 1 for n in shape)
        assert grid.node(*(n - 1 for n in shape)) == grid.n_nodes - 1
    for shape in ((LARGEST, 2, 1), (1, 46341, 46341), (2**31, 1, 1), (2**62, 2**62, 2**62)):
        with pytest.raises(GridError, match=r"at most 2,147,483,647 fit 32-bit node ids"):
            TokenGrid(*shape)


def test_features_of_more_nodes_than_ids_are_refused() -> None:
    one = np.float32(1)
    assert VideoTokens.from_array(np.broadcast_to(one, (1, 46340, 46340, 1))).grid.n_nodes == 46340**2
    with pytest.raises(GridError, match="has 2,147,488,281 nodes"):
        VideoTokens.from_array(np.broadcast_to(one, (1, 46341, 46341, 1)))


@pytest.mark.parametrize("name", SELECTORS.names())
def test_counts_stay_exact_near_the_last_node_id(name: str) -> None:
    count = stgraph.selector(name, retain_ratio=0.3).count(TokenGrid(1, 46340, 46340))
    assert count is None or count == -(-3 * 46340**2 // 10)


def test_edges_up_to_the_last_node_id() -> None:
    edges = EdgeList.from_arrays(LARGEST, [LARGEST - 1, 5], [0, LARGEST - 2])
    assert edges.dst.tolist() == [LARGEST - 1, LARGEST - 2]
    with pytest.raises(InputError, match=r"must be an integer from 0 to 2\^31 - 1"):
        EdgeList.from_arrays(2**31, [], [])


@pytest.mark.parametrize("value", [2**31, 2**62, 2**63 - 1])
@pytest.mark.parametrize("axis", range(3))
def test_coordinates_near_the_limits_of_int64_are_refused(axis: int, value: int) -> None:
    coordinates = [[0, 0], [0, 0], [0, 0]]
    coordinates[axis][1] = value
    with pytest.raises(GridError, match=r"not the complete .* lattice in raster order"):
        TokenGrid.from_coordinates(*coordinates)
