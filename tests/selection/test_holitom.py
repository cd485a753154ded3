"""HoliTom: the windows against all possible ones, known clusters, and how the budget is met."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from encoder_videos import replaced, select, video
from feature_zoo import DTYPES, LOOKS, disguise, features
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_counts import check_any_number

from stgraph import VideoTokens
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens
from stgraph.errors import FeatureError, InputError, MissingSignalError
from stgraph.selection.algorithms.static_windows import static_windows
from stgraph.selection.reasons import ATTENTION, CONTEXT

Array = np.ndarray[Any, Any]
Windows = list[tuple[int, int]]


def holitom(tokens: VideoTokens, budget: float | int, **parameters: Any) -> Any:
    return select("holitom", tokens, budget, **parameters)


def attended(x: Array, received: Any) -> VideoTokens:
    """Tokens with the given received attention, one value a token."""
    attention = np.asarray(received, np.float32).reshape(x.shape[0], -1)
    return VideoTokens.from_array(x, signals={"enc_recv_attn": attention})


def all_windows(T: int) -> list[Windows]:
    cuts = [c for n in range(T) for c in combinations(range(1, T), n)]
    return [list(zip((0, *c), (e - 1 for e in (*c, T)), strict=True)) for c in cuts]


def saving(still: Array, windows: Windows) -> int:
    return sum(int(still[a:b].all(axis=0).sum()) * (b - a) for a, b in windows if a < b)


@settings(deadline=None, max_examples=80)
@given(T=st.integers(1, 8), P=st.integers(1, 5), share=st.floats(0.2, 1), seed=st.integers(0, 2**32 - 1))
def test_no_windows_save_more(T: int, P: int, share: float, seed: int) -> None:
    still = np.random.default_rng(seed).random((T - 1, P)) < share
    windows, saved = static_windows(still)
    assert [t for a, b in windows for t in range(a, b + 1)] == list(range(T))
    assert saving(still, windows) == saved == max(saving(still, some) for some in all_windows(T))
    assert all(saving(still, [window]) > 0 for window in windows if window[0] < window[1])


def test_equal_savings_take_the_later_shorter_window() -> None:
    still = np.array([[True, True, False, False], [True, False, False, False]])
    # {0-2} saves 1 position x 2, {0-1} saves 2 x 1, {1-2} saves 1.
    assert static_windows(still) == ([(0, 1), (2, 2)], 2)
    assert static_windows(still[::-1]) == ([(0, 0), (1, 2)], 2)


def test_windows_are_no_longer_than_allowed() -> None:
    windows, saved = static_windows(np.ones((6, 2), np.bool_), longest=3)
    assert max(b - a + 1 for a, b in windows) == 3
    assert saved == 8  # 3 + 3 + 1 frames


def test_still_frames_are_averaged_and_clustered() -> None:
    rng = np.random.default_rng(0)
    ends = np.array([[9, 0, 0], [9.5, 0, 1], [0, 9, 0], [0, 9.5, 1]], np.float32)  # two pairs of near points
    x = np.stack([ends, ends + 0.01 * rng.standard_normal(ends.shape).astype(np.float32)])[:, None]
    kept = holitom(attended(x, np.arange(8) + 1), 2, exact_count=False)
    assert kept.report["windows"] == [[0, 1]] and kept.report["n_saved"] == 4
    assert kept.report["share"] == 0.5  # 2/8 of the tokens are 2/4 of what is left
    assert (kept.reason == CONTEXT).all() and kept.grid.T == 2
    assert sorted(i // 2 for i in kept.indices) == [0, 1]  # a centre in each pair, in the first frame
    means = x[:, 0].mean(axis=0)
    for row, centre in enumerate(kept.indices):
        joined = centre ^ 1
        np.testing.assert_allclose(kept.features[row], 0.6 * means[centre] + 0.4 * means[joined], rtol=1e-5)
        np.testing.assert_allclose(kept.assignment.toarray()[row, [centre, centre + 4]], 0.3)
        np.testing.assert_allclose(kept.assignment.toarray()[row, [joined, joined + 4]], 0.2)


@pytest.mark.parametrize("exact_count", [True, False])
def test_a_video_without_windows_keeps_the_most_attended_of_each_frame(exact_count: bool) -> None:
    tokens = video((4, 3, 5))
    kept = holitom(tokens, 0.4, tau=1.0, exact_count=exact_count)
    expected = np.argsort(-tokens.signals["enc_recv_attn"], axis=1, kind="stable")[:, :6] + 15 * np.arange(4)[:, None]
    assert kept.indices.tolist() == sorted(expected.reshape(-1).tolist())
    assert kept.exactness == "exact" and (kept.reason == ATTENTION).all()
    np.testing.assert_array_equal(kept.features, tokens.features.reshape(60, -1)[kept.indices])


def test_the_authors_count() -> None:
    for seed, ratio in ((0, 0.1), (1, 0.2), (2, 0.45)):
        x = synthetic_tokens(9, 5, 6, 40, seed=seed)
        kept = holitom(synthetic_signals(VideoTokens.from_array(x), seed=seed), ratio, tau=0.7, exact_count=False)
        unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
        still = (unit[1:] * unit[:-1]).sum(axis=-1).reshape(8, 30) > 0.7
        share = min(ratio / ((270 - kept.report["n_saved"]) / 270), 1)
        count = 0
        for a, b in kept.report["windows"]:
            n_still = int(still[a:b].all(axis=0).sum()) if a < b else 0
            count += round(n_still * share) + (b - a + 1) * math.ceil((30 - n_still) * share)
        assert len(kept) == count
        assert kept.exactness == "exact"


def fitted() -> tuple[VideoTokens, int]:
    tokens = synthetic_signals(VideoTokens.from_array(synthetic_tokens(6, 5, 6, 40)))
    return tokens, len(holitom(tokens, 0.3, exact_count=False))


def test_too_many_drop_moving_tokens_of_least_attention_and_then_centres() -> None:
    tokens, _ = fitted()
    attention = tokens.signals["enc_recv_attn"].reshape(-1)
    for n_keep in range(1, 60):
        authors = holitom(tokens, n_keep, exact_count=False)
        kept = holitom(tokens, n_keep)
        assert len(kept) == n_keep
        gone = np.setdiff1d(authors.indices, kept.indices)
        if len(authors) <= n_keep:
            assert gone.size == 0
            continue
        assert set(kept.indices) <= set(authors.indices)
        assert kept.exactness.startswith(f"approximate: {gone.size} tokens of least attention dropped")
        moving = authors.indices[authors.reason == ATTENTION]
        centres = authors.indices[authors.reason == CONTEXT]
        ranked = [*centres[np.argsort(-attention[centres])], *moving[np.argsort(-attention[moving])]]
        assert sorted(ranked[:n_keep]) == kept.indices.tolist()
        rows = np.searchsorted(authors.indices, kept.indices)
        np.testing.assert_array_equal(kept.assignment.toarray(), authors.assignment.toarray()[rows])


def test_too_few_add_unkept_tokens_of_most_attention_as_they_are() -> None:
    tokens, _ = fitted()
    attention = tokens.signals["enc_recv_attn"].reshape(-1)
    kept, authors = holitom(tokens, 0.8), holitom(tokens, 0.8, exact_count=False)
    more = len(kept) - len(authors)
    assert more > 0 and kept.report["n_added"] == more
    assert kept.exactness == f"approximate: {more} tokens of most attention added to meet the budget"
    added = np.setdiff1d(kept.indices, authors.indices)
    unkept = np.setdiff1d(np.arange(180), authors.indices)
    assert added.tolist() == sorted(unkept[np.argsort(-attention[unkept], kind="stable")[:more]].tolist())
    rows = np.searchsorted(kept.indices, added)
    np.testing.assert_array_equal(kept.features[rows], tokens.features.reshape(180, -1)[added])
    np.testing.assert_array_equal(kept.scores, attention[kept.indices])


@pytest.mark.parametrize("grid", [(1, 1, 1), (1, 1, 5), (1, 3, 4), (3, 1, 1), (2, 3, 4), (9, 2, 3)])
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("tau", [-1.0, 0.5, 1.0])
def test_any_video_and_any_count(grid: tuple[int, int, int], look: str, tau: float) -> None:
    x = features((*grid, 5))
    disguise(x, look, 2)
    tokens = synthetic_signals(VideoTokens.from_array(x), d_encoder=8)
    for n_keep in range(1, tokens.grid.n_nodes):
        kept = holitom(tokens, n_keep, tau=tau)
        assert len(kept) == n_keep and (np.diff(kept.indices) > 0).all()
        assert np.isfinite(kept.features).all()
        np.testing.assert_allclose(kept.assignment.sum(axis=1), 1, rtol=1e-5)


def test_equal_attention_keeps_the_smaller_index() -> None:
    x = features((2, 2, 4, 6))
    assert holitom(attended(x, np.ones(16)), 4, tau=1.0).indices.tolist() == [0, 1, 8, 9]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_and_threads(dtype: Any) -> None:
    check_any_number(lambda tokens: holitom(tokens, 0.25), dtype, 10)


def test_attention_of_the_encoders_grid_is_pooled_as_its_authors_do() -> None:
    fine, tokens = video((5, 6, 8)), video((5, 3, 4))
    values = fine.signals["enc_recv_attn"]
    pooled = values.reshape(5, 3, 2, 4, 2).mean(axis=(2, 4)).reshape(5, 12)
    over = replaced(tokens, {"encoder_grid": [6, 8], "pooling": "average"}, enc_recv_attn=values)
    same = replaced(tokens, enc_recv_attn=pooled)
    assert holitom(over, 0.3).indices.tolist() == holitom(same, 0.3).indices.tolist()
    assert holitom(over, 0.3, exact_count=False).exactness == "exact"


def test_what_is_refused() -> None:
    tokens = video()
    with pytest.raises(MissingSignalError, match="holitom needs the signal 'enc_recv_attn'"):
        holitom(VideoTokens.from_array(tokens.features), 0.3)
    for bad in ({"tau": 1.5}, {"tau": "high"}, {"beta": -0.1}, {"beta": None}):
        with pytest.raises(InputError, match=rf"{next(iter(bad))} is .*; it must be a number in"):
            holitom(tokens, 0.3, **bad)
    attention = tokens.signals["enc_recv_attn"].copy()
    attention[2, 7] = np.nan
    with pytest.raises(InputError, match="'enc_recv_attn' holds NaN or Inf"):
        holitom(replaced(tokens, enc_recv_attn=attention), 0.3)
    x = tokens.features.copy()
    x[1, 2, 3, 4] = np.inf
    with pytest.raises(FeatureError, match=r"frame 1, row 2, column 3"):
        holitom(VideoTokens(x, tokens.grid, tokens.signals), 0.3)
