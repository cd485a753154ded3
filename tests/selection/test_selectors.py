"""The contract of every registered selector."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from feature_zoo import newline_per_row, separator_per_frame

import stgraph
from stgraph import Budget, TokenGrid, VideoTokens
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens
from stgraph.errors import MissingSignalError
from stgraph.selection.base import SELECTORS, Selector
from stgraph.selection.reasons import REASON_NAMES

Array = np.ndarray[Any, Any]

NAMES = SELECTORS.names()
RATIOS = (0.1, 0.15, 0.3, 0.5, 1.0)
READ_THE_LLM = {
    *("fastv", "fitprune", "pyramiddrop", "dart", "prunevid-attention", "sparsevlm"),
    *("st-simdiff-released", "framefusion-attention", "flashvid-attention", "holitom-attention"),
}
FREE_COUNT = {"st-simdiff-released"}  # its count is its authors' formula over the features
GRIDS = [(1, 1, 1), (1, 7, 7), (2, 1, 6), (3, 5, 1), (5, 4, 6), (9, 5, 5), (33, 2, 3)]


@cache
def video(shape: tuple[int, int, int] = (5, 4, 6), kind: str = "scenes", dtype: str = "float32") -> VideoTokens:
    """A small video with every signal."""
    x = synthetic_tokens(*shape, 12, seed=1)
    if kind == "identical frames":
        x = np.broadcast_to(x[:1], x.shape).copy()
    if kind == "all equal":
        x = np.ones_like(x)
    if kind == "with zeros":
        x.reshape(-1, 12)[::3] = 0
    if kind == "all zero":
        x = np.zeros_like(x)
    return synthetic_signals(VideoTokens.from_array(x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)))


def with_specials(shape: tuple[int, int, int], kinds: Any) -> VideoTokens:
    """The same features among newlines or separators."""
    patches = video(shape).lattice.reshape(-1, 12)
    kind = kinds(*shape)
    features = np.full((kind.size, 12), 0.25, np.float32)
    features[kind == 0] = patches
    return synthetic_signals(VideoTokens(features, TokenGrid(*shape, kind)))


def build(name: str, ratio: Any, **budget: Any) -> Selector:
    return stgraph.selector(name, retain_ratio=ratio, **budget)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", GRIDS, ids=str)
def test_count_is_exact_and_indices_ascend(name: str, shape: tuple[int, int, int]) -> None:
    tokens = video(shape)
    n = tokens.grid.n_nodes
    for ratio in RATIOS:
        if name in FREE_COUNT and n == 1 and ratio < 1:
            continue  # layer 0 sees the one token; no mean over the layers can be less
        chosen = build(name, ratio)
        kept = chosen.select(tokens)
        count = chosen.count(tokens.grid)
        if name in FREE_COUNT:
            assert count is None
            assert 1 <= len(kept) <= math.ceil(Fraction(str(ratio)) * n)
        else:
            assert len(kept) == count == math.ceil(Fraction(str(ratio)) * n)
        indices = kept.indices
        assert indices.dtype == np.int64
        assert indices.flags.c_contiguous and indices.flags.owndata
        assert (np.diff(indices) > 0).all() and indices[0] >= 0 and indices[-1] < n
        assert kept.reason.dtype == np.uint8
        assert set(kept.reason.tolist()) <= REASON_NAMES.keys()
        assert kept.scores.dtype == np.float32
        assert kept.scores.shape == kept.reason.shape == indices.shape
        assert np.isfinite(kept.scores).all()
        assert kept.exactness == "exact" or kept.exactness.startswith("approximate: ")
        assert kept.positions in ("original", "compact")
        assert kept.account.n_kept == len(kept) <= kept.account.n_input <= kept.account.n_visual == n
        assert kept.provenance["selector"] == name
        if ratio == 1:
            assert indices.tolist() == list(range(n))
            np.testing.assert_array_equal(kept.gather(tokens.features), tokens.lattice.reshape(n, -1))


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_tokens_can_be_asked_for(name: str) -> None:
    tokens = video((4, 3, 3))
    for n_keep in range(1, 37):
        if name in FREE_COUNT and n_keep < 3:  # the first of 28 layers sees more than 1/28 of the tokens
            continue
        kept = stgraph.selector(name, n_keep=n_keep).select(tokens)
        assert len(kept) == n_keep or name in FREE_COUNT
        assert np.unique(kept.indices).size == len(kept)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["identical frames", "all equal", "with zeros", "all zero"])
def test_degenerate_videos(name: str, kind: str) -> None:
    tokens = video((6, 4, 4), kind)
    for ratio in (0.1, 0.3, 0.6):
        kept = build(name, ratio).select(tokens)
        assert len(kept) == math.ceil(Fraction(str(ratio)) * 96) or name in FREE_COUNT
        assert np.isfinite(kept.scores).all()
        assert np.isfinite(kept.gather(tokens.features).astype(np.float32)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_merged_features_are_the_assignment_times_the_features(name: str, dtype: str) -> None:
    tokens = video((6, 5, 5), "scenes", dtype)
    kept = build(name, 0.3).select(tokens)
    rows = tokens.features.reshape(-1, tokens.dimension)
    gathered = kept.gather(tokens.features)
    assert gathered.dtype == tokens.features.dtype
    if kept.kind == "subset":
        assert kept.features is None and kept.assignment is None
        np.testing.assert_array_equal(gathered, rows[kept.indices])
        return
    assert kept.kind == "merge"
    assert kept.assignment.shape == (len(kept), 150)
    assert np.isfinite(kept.assignment.data).all()
    assert (np.diff(kept.assignment.indptr) >= 1).all()  # every kept token holds something
    expected = kept.assignment.toarray().astype(np.float64) @ rows.astype(np.float64)
    noise = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}[dtype]
    np.testing.assert_allclose(kept.features.astype(np.float64), expected, atol=noise * np.abs(expected).max())
    np.testing.assert_array_equal(gathered, kept.features)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("name", NAMES)
def test_same_result_again_and_on_any_number_of_threads(name: str) -> None:
    tokens, found = video((9, 5, 5)), []
    for n in (1, 2, 3, 3):
        stgraph.set_num_threads(n)
        found.append(build(name, 0.3).select(tokens))
    for other in found[1:]:
        np.testing.assert_array_equal(other.indices, found[0].indices)
        np.testing.assert_array_equal(other.reason, found[0].reason)
        np.testing.assert_array_equal(other.scores, found[0].scores)
        if other.features is not None:
            np.testing.assert_array_equal(other.features, found[0].features)


@pytest.mark.parametrize("name", NAMES)
def test_strides_of_the_features_change_nothing(name: str) -> None:
    tokens = video((5, 4, 6))
    x = tokens.lattice
    wider = np.zeros((5, 8, 12, 15), np.float32)
    wider[:, ::2, ::2, 1:13] = x
    found = [
        build(name, 0.3).select(VideoTokens(layout, tokens.grid, tokens.signals))
        for layout in (x, wider[:, ::2, ::2, 1:13], np.asfortranarray(x))
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other.indices, found[0].indices)
        if other.features is not None:
            np.testing.assert_allclose(other.features, found[0].features, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_signal_is_refused_by_name(name: str) -> None:
    tokens = video()
    chosen = build(name, 0.3)
    bare = VideoTokens.from_array(tokens.lattice)
    if not chosen.requires:
        assert len(chosen.select(bare)) >= 1
        return
    for signal in chosen.requires:
        others = {key: value for key, value in tokens.signals.items() if key != signal}
        if signal == "importance":  # attention of a shallow layer stands in the dump twice
            del others["llm_attn_last"]
        with pytest.raises(MissingSignalError, match=f"'{signal}'"):
            chosen.select(VideoTokens(tokens.features, tokens.grid, others))
    with pytest.raises(MissingSignalError):
        chosen.select(bare)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kinds", [newline_per_row, separator_per_frame])
def test_newlines_are_no_patches_unless_they_count(name: str, kinds: Any) -> None:
    shape = (5, 4, 6)
    tokens = with_specials(shape, kinds)
    kept = build(name, 0.3, newlines="out").select(tokens)
    assert (tokens.grid.kind[kept.indices] == 0).all()
    assert kept.account.newlines == "out"
    plain = VideoTokens(video(shape).features, video(shape).grid, tokens.signals | {"seq_index": np.arange(120)})
    if not chosen_by_sequence(name):
        assert kept.nodes.tolist() == build(name, 0.3).select(plain).nodes.tolist()
    own = build(name, 0.3).select(tokens)
    counted = name in ("st-simdiff-released", "framefusion", "framefusion-attention") and kinds is newline_per_row
    assert own.account.newlines == ("in" if counted else "out")
    assert own.account.n_visual == (140 if counted else 120)


def chosen_by_sequence(name: str) -> bool:
    """Methods that read LLM attention, whose positions in the sequence the newlines shift."""
    return name in READ_THE_LLM


@pytest.mark.parametrize("name", NAMES)
def test_bad_features_are_refused(name: str) -> None:
    tokens = video()
    x = tokens.lattice.copy()
    x[2, 1, 3, 5] = np.nan
    bad = VideoTokens(x, tokens.grid, tokens.signals)
    with pytest.raises(stgraph.errors.FeatureError, match="first bad token is 57"):
        build(name, 0.3).select(bad)


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_of_one_call_replaces_the_selectors_own(name: str) -> None:
    tokens = video()
    chosen = build(name, 0.5)
    again = chosen.select(tokens, Budget(0.3))
    assert again.indices.tolist() == build(name, 0.3).select(tokens).indices.tolist()
    assert chosen.count(tokens.grid, Budget(n_keep=7)) in (7, None)


@pytest.mark.parametrize("name", NAMES)
def test_the_class_says_where_the_method_comes_from(name: str) -> None:
    cls: Any = SELECTORS.get(name)
    assert cls.name == name
    assert cls.__doc__ and len(cls.__doc__) > 60
    assert isinstance(cls.paper, str) and cls.paper
    assert isinstance(build(name, 0.3), Selector)
    assert stgraph.selectors()[name] == build(name, 0.3).requires
