"""The laws of the selectors that read the vision encoder's attention, features and keys."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from encoder_videos import frames, replaced, select, video

import stgraph
from stgraph import VideoTokens
from stgraph.errors import FeatureError, GridError, InputError, MissingSignalError
from stgraph.selection.budget import per_frame_counts
from stgraph.selection.reasons import ATTENTION, CONTEXT, DIVERSITY

NAMES = ("fastervlm", "vispruner", "visionzip", "prumerge", "prumerge+")
MERGING = ("visionzip", "prumerge", "prumerge+")
READS = [
    ("fastervlm", "enc_cls_attn"),
    ("vispruner", "enc_cls_attn"),
    ("vispruner", "enc_features"),
    ("visionzip", "enc_cls_attn"),
    ("visionzip", "enc_keys_mean"),
    ("prumerge", "prumerge_cls_attn"),
    ("prumerge", "enc_keys_full"),
    ("prumerge+", "enc_keys_full"),
]
UNPROJECTED = {"pooling": "none", "projector": "none"}


def pooled_video() -> VideoTokens:
    """Tokens on 3 x 4 whose encoder signals lie on 6 x 8."""
    fine, tokens = video((5, 6, 8)), video((5, 3, 4))
    names = {signal for _, signal in READS}
    metadata = {"encoder_grid": [6, 8], "pooling": "average", "projector": "none"}
    return replaced(tokens, metadata, **{name: fine.signals[name] for name in names})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_keep", [1, 3, 5, 44, 101, 180, 209])
def test_the_budget_is_spread_over_the_frames(name: str, n_keep: int) -> None:
    kept = select(name, video(), n_keep)
    assert frames(kept).tolist() == per_frame_counts(n_keep, 5).tolist()


@pytest.mark.parametrize(("name", "signal"), READS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_signal_that_is_not_finite_is_refused_by_name_and_token(name: str, signal: str, bad: float) -> None:
    tokens = video()
    values = tokens.signals[signal].copy()
    if signal == "enc_cls_attn":
        values[3, 2, 17] = bad
    else:
        values[3, 17] = bad
    with pytest.raises(InputError, match=rf"{signal}.*first bad token is {3 * 42 + 17} \(frame 3, patch 17\)"):
        select(name, replaced(tokens, **{signal: values}), 0.3)


@pytest.mark.parametrize("name", NAMES)
def test_signals_are_read_and_not_written(name: str) -> None:
    tokens = video()
    before = {signal: values.copy() for signal, values in tokens.signals.items()}
    for values in tokens.signals.values():
        values.flags.writeable = False
    select(name, tokens, 0.3)
    for signal, values in tokens.signals.items():
        np.testing.assert_array_equal(values, before[signal])


@pytest.mark.parametrize("name", NAMES)
def test_pooled_signals_are_approximate(name: str) -> None:
    kept = select(name, pooled_video(), 0.3)
    assert len(kept) == 18
    assert kept.exactness.startswith("approximate: the encoder's signals are pooled")
    assert ("before the projector" in kept.exactness) == (name in MERGING)


@pytest.mark.parametrize("name", MERGING)
def test_merging_is_exact_on_what_leaves_the_encoder_only(name: str) -> None:
    own = {"exact_count": False} if name.startswith("prumerge") else {}
    assert select(name, video(**UNPROJECTED), 0.3, **own).exactness == "exact"
    if own:
        fitted = select(name, video(**UNPROJECTED), 0.3).exactness
        assert fitted == "approximate: the count follows the budget, not the outliers"
    for metadata in ({}, {"pooling": "none"}, {"projector": "none"}, {"pooling": "none", "projector": "mlp"}):
        assert "before the projector" in select(name, video(**metadata), 0.3).exactness


@pytest.mark.parametrize("name", ("fastervlm", "vispruner"))
def test_pruning_is_exact_on_the_encoders_grid(name: str) -> None:
    assert select(name, video(), 0.3).exactness == "exact"


@pytest.mark.parametrize("name", MERGING)
def test_bad_features_are_refused(name: str) -> None:
    tokens = video()
    tokens.lattice[2, 1, 3, 5] = np.nan
    tokens.signals["prumerge_cls_attn"][2, 10] = tokens.signals["enc_cls_attn"][2, :, 10] = 1  # kept for certain
    with pytest.raises(FeatureError, match=f"first bad token is {2 * 42 + 10}"):
        select(name, tokens, 0.3)


# FasterVLM


def test_fastervlm_keeps_what_is_attended_to_most_and_of_equals_the_first() -> None:
    attention = np.full((2, 3, 12), 0.25, np.float32)
    attention[0, :, 7] = 0.5
    attention[1, 0, 9] = 2.0  # the mean over heads counts
    attention[1, :, 2] = 0.75
    tokens = replaced(video((2, 3, 4)), enc_cls_attn=attention)
    assert select("fastervlm", tokens, 6).indices.tolist() == [0, 1, 7, 12, 14, 21]
    assert select("fastervlm", tokens, 2).indices.tolist() == [7, 21]


# VisPruner


def test_vispruner_by_attention_alone_is_fastervlm() -> None:
    tokens = video()
    by_attention = select("vispruner", tokens, 0.3, ratio=1)
    assert by_attention.indices.tolist() == select("fastervlm", tokens, 0.3).indices.tolist()
    assert set(by_attention.reason.tolist()) == {ATTENTION}


@pytest.mark.parametrize("ratio", [0, 0.3, 0.75])
def test_vispruner_divides_each_frames_budget(ratio: float) -> None:
    kept = select("vispruner", video(), 101, ratio=ratio)
    important = [int(k * ratio) for k in per_frame_counts(101, 5)]
    found = np.bincount(kept.indices[kept.reason == ATTENTION] // 42, minlength=5)
    assert found.tolist() == important
    assert np.count_nonzero(kept.reason == DIVERSITY) == 101 - sum(important)


def test_vispruner_keeps_one_of_each_kind() -> None:
    looks = np.eye(4, 24, dtype=np.float32)
    tokens = replaced(
        video((1, 4, 4)),
        enc_features=looks[np.arange(16) // 4][None],
        enc_cls_attn=np.full((1, 1, 16), 1 / 16, np.float32),
    )
    kept = select("vispruner", tokens, 4, ratio=0)
    assert sorted(kept.indices // 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("ratio", [-0.1, 1.5, "half", None, True])
def test_vispruner_names_a_bad_ratio(ratio: Any) -> None:
    with pytest.raises(InputError, match=r"ratio is .*; it must be a number in \[0, 1\]"):
        stgraph.selector("vispruner", retain_ratio=0.3, ratio=ratio)


# VisionZip


@pytest.mark.parametrize(("k", "dominant"), [(1, 1), (2, 1), (3, 2), (32, 27), (42, 35)])
def test_visionzip_has_54_dominant_of_64(k: int, dominant: int) -> None:
    kept = select("visionzip", video((2, 6, 8)), 2 * k)
    assert [np.count_nonzero(kept.reason == reason) for reason in (ATTENTION, CONTEXT)] == [
        2 * dominant,
        2 * k - 2 * dominant,
    ]


@pytest.mark.parametrize("n_keep", [2, 3, 20, 64, 94])
def test_visionzip_adds_the_mean_of_the_joined(n_keep: int) -> None:
    kept = select("visionzip", video((2, 6, 8)), n_keep)
    matrix = kept.assignment.toarray()
    itself = np.arange(n_keep), kept.indices
    np.testing.assert_array_equal(matrix[itself], 1)
    matrix[itself] = 0
    assert not matrix[kept.reason == ATTENTION].any()
    joined = matrix > 0
    shares = joined / np.maximum(joined.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(matrix, shares, rtol=1e-6)
    contexts = np.bincount(kept.indices[kept.reason == CONTEXT] // 48, minlength=2)
    expected = (48 - frames(kept)) * (contexts > 0)
    assert joined.any(axis=0).sum() == joined.sum() == expected.sum()


@pytest.mark.parametrize("name", NAMES)
def test_received_attention_stands_in_for_that_of_a_cls_token(name: str) -> None:
    tokens = video()
    attention = tokens.signals["enc_cls_attn"].mean(axis=1, dtype=np.float32)
    if name.startswith("prumerge"):
        attention = tokens.signals["prumerge_cls_attn"]
    signals = {key: x for key, x in tokens.signals.items() if "cls_attn" not in key} | {"enc_recv_attn": attention}
    towered = VideoTokens(tokens.features, tokens.grid, signals, tokens.metadata)
    theirs, ours = select(name, tokens, 0.4), select(name, towered, 0.4, attention="received")
    assert ours.indices.tolist() == theirs.indices.tolist()
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    reason = "ranks by the attention each patch receives; the authors take the CLS token's"
    assert reason in ours.exactness
    assert reason not in theirs.exactness
    needed = stgraph.selector(name, retain_ratio=0.4, attention="received").requires
    assert needed.isdisjoint({"enc_cls_attn", "prumerge_cls_attn"})
    with pytest.raises(MissingSignalError, match=rf"{re.escape(name)} needs the signal 'enc_recv_attn'"):
        others = {key: x for key, x in signals.items() if key != "enc_recv_attn"}
        select(name, VideoTokens(tokens.features, tokens.grid, others), 0.4, attention="received")
    with pytest.raises(InputError, match="attention is 'max'; it must be one of cls, received"):
        stgraph.selector(name, retain_ratio=0.4, attention="max")


def test_visionzip_leaves_the_cls_tokens_key_out() -> None:
    tokens = video()
    keys = tokens.signals["enc_keys_mean"]
    with_cls = replaced(tokens, enc_keys_mean=np.concatenate([9 * keys[:, :1], keys], axis=1))
    plain, same = select("visionzip", tokens, 0.4), select("visionzip", with_cls, 0.4)
    assert plain.indices.tolist() == same.indices.tolist()
    np.testing.assert_array_equal(plain.features, same.features)
    with pytest.raises(GridError, match=r"enc_keys_mean.* has 41 keys per frame, but 'enc_cls_attn' 42 patches"):
        select("visionzip", replaced(tokens, enc_keys_mean=keys[:, 1:]), 0.4)
