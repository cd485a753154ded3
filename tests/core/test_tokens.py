"""Tokens of one video: the lattice seen through newlines and separators, signals, and what does not fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES, KINDS, features, irregular, newline_per_row, separator_per_frame

from stgraph import TokenGrid, VideoTokens, build_graph
from stgraph.errors import FeatureError, GridError, InputError, MissingSignalError
from stgraph.grid import PATCH

Array = np.ndarray[Any, Any]
SHAPE = (3, 4, 5)


def from_kinds(kinds: Any, dtype: Any = np.float32, shape: tuple[int, int, int] = SHAPE) -> VideoTokens:
    kind = kinds(*shape)
    return VideoTokens(features((kind.size, 7), dtype), TokenGrid(*shape, kind))


# The lattice


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kinds", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1), (4, 1, 1), (1, 3, 1), (2, 1, 3)], ids=str)
def test_lattice_holds_the_patches(shape: tuple[int, int, int], kinds: Any, dtype: Any) -> None:
    tokens = from_kinds(kinds, dtype, shape)
    assert tokens.lattice.shape == (*shape, 7)
    patches = [row for row, kind in zip(tokens.features, kinds(*shape), strict=True) if kind == PATCH]
    np.testing.assert_array_equal(tokens.lattice.reshape(-1, 7), patches)


@pytest.mark.parametrize("kinds", [newline_per_row, separator_per_frame], ids=lambda k: k.__name__)
def test_lattice_is_a_view_where_other_tokens_recur_evenly(kinds: Any) -> None:
    tokens = from_kinds(kinds)
    assert np.shares_memory(tokens.lattice, tokens.features)
    assert not tokens.lattice.flags.writeable


def test_lattice_of_irregular_separators_is_gathered() -> None:
    tokens = from_kinds(irregular)
    assert not np.shares_memory(tokens.lattice, tokens.features)


@pytest.mark.parametrize("change", [lambda x: x[::-1], np.asfortranarray, lambda x: x[:, ::-1]])
def test_lattice_of_strided_rows(change: Any) -> None:
    kind = newline_per_row(*SHAPE)
    x = change(features((kind.size, 7)))
    tokens = VideoTokens(x, TokenGrid(*SHAPE, kind))
    np.testing.assert_array_equal(tokens.lattice.reshape(-1, 7), x[kind == PATCH])
    assert np.shares_memory(tokens.lattice, x)


def test_lattice_of_patches_alone_is_a_view() -> None:
    x = features((60, 7))
    tokens = VideoTokens(x, TokenGrid(*SHAPE))
    np.testing.assert_array_equal(tokens.lattice, x.reshape(*SHAPE, 7))
    assert np.shares_memory(tokens.lattice, x)
    transposed = features((5, 4, 3, 7)).transpose(2, 1, 0, 3)
    assert VideoTokens.from_array(transposed).lattice is transposed


@pytest.mark.parametrize("kinds", KINDS, ids=lambda k: k.__name__)
def test_other_tokens_leave_the_graph_alone(kinds: Any) -> None:
    tokens = from_kinds(kinds)
    plain = VideoTokens.from_array(tokens.lattice.copy())
    assert build_graph(tokens).similarity.tobytes() == build_graph(plain).similarity.tobytes()


# Importance and signals


def test_importance_in_both_shapes() -> None:
    values = np.arange(60.0)
    for given in (values, values.reshape(SHAPE), values.astype(np.float32), values.tolist()):
        tokens = VideoTokens.from_array(features((*SHAPE, 7)), importance=given)
        np.testing.assert_array_equal(tokens.signal("importance"), values.reshape(SHAPE).astype(np.float32))
        assert tokens.signal("importance").dtype == np.float32


def test_importance_of_the_wrong_size() -> None:
    with pytest.raises(GridError, match=r"importance has shape \(59,\); expected \[3, 4, 5\] or \[60\]"):
        VideoTokens.from_array(features((*SHAPE, 7)), importance=np.zeros(59))


def test_own_signals_pass_unchecked() -> None:
    mine = np.arange(3)
    assert VideoTokens.from_array(features((*SHAPE, 7)), signals={"mine": mine}).signal("mine") is mine


def test_missing_signal_says_who_needs_it_and_what_is_there() -> None:
    tokens = VideoTokens.from_array(features((*SHAPE, 7)), signals={"mine": np.arange(3)})
    with pytest.raises(MissingSignalError) as caught:
        tokens.signal("enc_cls_attn", needed_by="visionzip")
    for part in ("visionzip needs the signal 'enc_cls_attn'", "(they have: mine)", "signals={'enc_cls_attn': ...}"):
        assert part in str(caught.value)
    with pytest.raises(MissingSignalError, match="they have: none"):
        VideoTokens.from_array(features((*SHAPE, 7))).signal("importance")


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        ({"frame_time": np.zeros(4)}, r"'frame_time' has shape \[4\]; expected \[T\] with T = 3"),
        ({"frame_time": np.zeros((3, 1))}, r"'frame_time' has shape \[3, 1\]; expected \[T\]"),
        ({"frame_time": np.zeros(3, np.int64)}, "'frame_time' has dtype int64; expected one of float64, float32"),
        ({"newline_embed": features((8,))}, r"expected \[d\] with d = 7"),
        ({"seq_index": np.arange(59)}, r"expected \[n\] with n = 60"),
        ({"enc_recv_attn": features((3, 9)), "pool_attn": features((3, 8))}, r"'pool_attn' .* \[T, e\] with e = 9"),
        ({"rope_deltas": np.zeros((2, 2), np.int64)}, r"'rope_deltas' .*expected \[batch, 1\] with 1 = 1"),
    ],
)
def test_signals_that_do_not_fit(signals: dict[str, Array], message: str) -> None:
    with pytest.raises(InputError, match=message):
        VideoTokens.from_array(features((*SHAPE, 7)), signals=signals)


# What does not fit together


@pytest.mark.parametrize("shape", [(60, 7), (7,), (2, 3, 4, 5, 6)], ids=str)
def test_from_array_wants_four_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(FeatureError) as caught:
        VideoTokens.from_array(features(shape))
    assert f"features have shape {shape}; expected [T, H, W, d]" in str(caught.value)


@pytest.mark.parametrize("shape", [(60, 7, 1), (420,)], ids=str)
def test_features_have_two_or_four_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(FeatureError, match=r"expected \[n, d\] or \[T, H, W, d\]"):
        VideoTokens(features(shape), TokenGrid(*SHAPE))


@pytest.mark.parametrize("axis", range(4))
def test_empty_axes_are_refused(axis: int) -> None:
    shape = [2, 3, 4, 5]
    shape[axis] = 0
    with pytest.raises(FeatureError, match=r"features has shape \(.*0.*\): every axis must hold at least one element"):
        VideoTokens.from_array(np.zeros(shape, np.float32))


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.int64, np.uint16, np.bool_, np.complex64, ">f4"])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(FeatureError, match=r"features has dtype .*; supported are float32, float16, bfloat16"):
        VideoTokens.from_array(np.ones((1, 2, 2, 3), dtype))


def test_features_of_another_grid_are_refused() -> None:
    with pytest.raises(GridError, match=r"features have shape \(3, 5, 4, 7\) but the grid is 3x4x5"):
        VideoTokens(features((3, 5, 4, 7)), TokenGrid(*SHAPE))
    with pytest.raises(GridError, match=r"72 features but grid 3x4x5 has 60 tokens \(\+12: are newline"):
        VideoTokens(features((72, 7)), TokenGrid(*SHAPE))
    with pytest.raises(GridError, match=r"60 features but grid 3x4x5 has 72 tokens \(-12: are newline"):
        VideoTokens(features((60, 7)), TokenGrid(*SHAPE, newline_per_row(*SHAPE)))
    with pytest.raises(GridError):
        VideoTokens(features((*SHAPE, 7)), TokenGrid(*SHAPE, newline_per_row(*SHAPE)))


def test_repr() -> None:
    tokens = VideoTokens.from_array(features((10, 10, 12, 7), np.float16), importance=np.zeros(1200))
    assert repr(tokens) == "VideoTokens(10x10x12, 1,200 tokens of dimension 7, float16, signals: importance)"
    assert (tokens.dtype, tokens.dimension) == ("float16", 7)
