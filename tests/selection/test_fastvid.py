"""FastVID: segments, where the tokens of a segment go, and how the budget is met."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from encoder_videos import frames, replaced, select, video
from feature_zoo import DTYPES, LOOKS, disguise, features
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_counts import check_any_number

from stgraph import VideoTokens
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens
from stgraph.community.density import density_peaks, peak_scores, scaled_distances
from stgraph.errors import FeatureError, InputError, MissingSignalError
from stgraph.selection.algorithms.segments import frame_segments
from stgraph.selection.budget import per_frame_counts
from stgraph.selection.reasons import ATTENTION, CONTEXT

Array = np.ndarray[Any, Any]


def fastvid(tokens: VideoTokens, budget: float | int, **parameters: Any) -> Any:
    return select("fastvid", tokens, budget, **parameters)


def pooled(x: Array, attention: Array, vectors: Array) -> VideoTokens:
    """Tokens with the given pooling attention, one value a token, and frame vectors."""
    signals = {"pool_attn": attention.reshape(x.shape[0], -1).astype(np.float32), "pool_feature": vectors}
    return VideoTokens.from_array(x, signals=signals)


def one_scene(T: int, H: int, W: int, d: int = 9, seed: int = 0) -> VideoTokens:
    """Frames alike to the pooling head, so that ``segments=1`` makes one segment of them."""
    rng = np.random.default_rng(seed)
    return pooled(features((T, H, W, d), seed=seed), rng.random((T, H * W)), np.ones((T, 4), np.float32))


@settings(deadline=None, max_examples=60)
@given(T=st.integers(1, 12), n=st.integers(1, 9), tau=st.floats(-1, 1), seed=st.integers(0, 2**32 - 1))
def test_segments_end_at_every_cut_and_nowhere_else(T: int, n: int, tau: float, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((T, 3))
    vectors[::5] = 0
    segments = frame_segments(vectors, n, tau)
    assert [t for a, b in segments for t in range(a, b)] == list(range(T))
    cosine = []
    for u, v in pairwise(vectors):
        scale = np.linalg.norm(u) * np.linalg.norm(v)
        cosine.append(float(u @ v / scale) if scale else 0.0)
    least = sorted(range(T - 1), key=lambda t: (round(cosine[t], 12), t))[: n - 1]
    cuts = set(least) | {t for t in range(T - 1) if cosine[t] < tau}
    assert {b - 1 for _, b in segments[:-1]} == cuts


def test_equal_frames_are_cut_at_the_earliest() -> None:
    assert frame_segments(np.ones((6, 2)), 3, 0.9) == [(0, 1), (1, 2), (2, 6)]


def test_a_segment_is_merged_into_its_anchors() -> None:
    """One segment of 6 frames: anchors 1 and 5, and 10 context tokens between them."""
    tokens = one_scene(6, 3, 4)
    attention = tokens.signals["pool_attn"]
    kept = fastvid(tokens, 30, segments=1)
    assert kept.report["segments"] == [[0, 5]] and kept.report["n_anchors"] == 2
    assert kept.exactness == "exact"
    salient = np.sort(np.argsort(-attention, axis=1)[:, :3] + 12 * np.arange(6)[:, None], axis=None)
    assert kept.indices[kept.reason == ATTENTION].tolist() == salient.tolist()
    others = np.setdiff1d(np.arange(72), salient)
    x = tokens.features.reshape(72, -1).astype(np.float64)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for t, count in ((1, 6), (5, 6)):
        inside = others[others // 12 == t]
        peaks = inside[density_peaks(peak_scores(scaled_distances(x[inside]), 4), count)]
        assert [i for i in kept.indices[kept.reason == CONTEXT] if i // 12 == t] == peaks.tolist()
        nearest = (unit[others] @ unit[peaks].T).argmax(axis=1)
        for place, centre in enumerate(peaks):
            joined = x[others[nearest == place]]
            weight = max(1 / (len(joined) + 1), 0.6)
            merged = weight * x[centre] + (1 - weight) * joined.mean(axis=0)
            row = np.searchsorted(kept.indices, centre)
            np.testing.assert_allclose(kept.features[row], merged, rtol=1e-4, atol=1e-5)


def test_what_does_not_divide_goes_to_the_earliest_anchors() -> None:
    kept = fastvid(one_scene(9, 4, 5), 9 * 5 + 4, segments=1)  # 9 frames, anchors 0, 4 and 8, 18 context tokens
    assert kept.report["n_context"] == 18
    context = np.bincount(kept.indices[kept.reason == CONTEXT] // 20, minlength=9)
    assert context.tolist() == [6, 0, 0, 0, 6, 0, 0, 0, 6]
    kept = fastvid(one_scene(9, 4, 5), 9 * 5 + 8, segments=1, context=0.5)  # 5 or 6 a frame: 26 context tokens
    context = np.bincount(kept.indices[kept.reason == CONTEXT] // 20, minlength=9)
    assert context.sum() == kept.report["n_context"] == 26
    assert context[[0, 4, 8]].tolist() == [9, 9, 8]


def test_a_centre_nobody_joins_stays_as_it_is() -> None:
    x = np.ones((1, 2, 3, 4), np.float32)
    tokens = pooled(x, np.arange(6), np.ones((1, 2), np.float32))
    kept = fastvid(tokens, 5)  # three salient, two centres among three equal tokens
    assert kept.indices.tolist() == [0, 1, 3, 4, 5]
    weights = kept.assignment.toarray()
    np.testing.assert_allclose(weights[0, :3], [0.6 + 0.4 / 3, 0.4 / 3, 0.4 / 3], rtol=1e-6)
    assert weights[1].tolist() == [0, 1, 0, 0, 0, 0]


def test_what_the_anchors_cannot_take_goes_to_unkept_tokens_of_most_attention() -> None:
    tokens = one_scene(8, 3, 4)
    attention = tokens.signals["pool_attn"].reshape(-1)
    kept = fastvid(tokens, 80, segments=1)  # 10 a frame: 32 context tokens, two anchors with 6 tokens each
    assert kept.report["n_context"] == 12 and kept.report["n_added"] == 20
    assert kept.exactness == "approximate: 20 tokens beyond what the anchors could take"
    authors = fastvid(tokens, 80, segments=1, exact_count=False)
    unkept = np.setdiff1d(np.arange(96), authors.indices)
    added = np.setdiff1d(kept.indices, authors.indices)
    assert added.tolist() == sorted(unkept[np.argsort(-attention[unkept])[:20]].tolist())
    rows = np.searchsorted(kept.indices, added)
    np.testing.assert_array_equal(kept.features[rows], tokens.features.reshape(96, -1)[added])
    assert (kept.reason[rows] == ATTENTION).all()


def test_single_frames_keep_their_share() -> None:
    kept = fastvid(video((5, 6, 7)), 0.3)
    assert kept.report["segments"] == [[t, t] for t in range(5)]
    assert frames(kept).tolist() == per_frame_counts(63, 5).tolist()
    assert kept.report["n_context"] == sum(int(0.4 * k) for k in per_frame_counts(63, 5))


def test_the_authors_count() -> None:
    for T, ratio in ((16, 0.2), (33, 0.1), (21, 0.8)):
        tokens = synthetic_signals(VideoTokens.from_array(synthetic_tokens(T, 5, 6, 20)))
        kept = fastvid(tokens, ratio, tau=0.3, exact_count=False)
        k = int(30 * ratio)
        context = int(0.4 * k)
        count = 0
        for first, last in kept.report["segments"]:
            length = last - first + 1
            anchors = -(-length // 4)
            count += length * (k - context) + anchors * min(length * context // anchors, 30 - k + context)
        assert len(kept) == count and kept.exactness == "exact"


@pytest.mark.parametrize("grid", [(1, 1, 1), (1, 1, 5), (1, 3, 4), (3, 1, 1), (2, 3, 4), (9, 2, 3), (13, 1, 2)])
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("how", [{}, {"segments": 1, "tau": -1.0}, {"context": 1.0, "segments": 2, "tau": 0.0}])
def test_any_video_and_any_count(grid: tuple[int, int, int], look: str, how: dict[str, Any]) -> None:
    x = features((*grid, 5))
    disguise(x, look, 2)
    tokens = synthetic_signals(VideoTokens.from_array(x), d_encoder=8)
    for n_keep in range(1, tokens.grid.n_nodes):
        kept = fastvid(tokens, n_keep, **how)
        assert len(kept) == n_keep and (np.diff(kept.indices) > 0).all()
        assert np.isfinite(kept.features).all() and np.isfinite(kept.scores).all()
        np.testing.assert_allclose(kept.assignment.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_and_threads(dtype: Any) -> None:
    check_any_number(lambda tokens: fastvid(tokens, 0.25), dtype, 18)


def test_what_is_refused() -> None:
    tokens = video()
    without = {name: values for name, values in tokens.signals.items() if name != "pool_feature"}
    with pytest.raises(MissingSignalError, match="fastvid needs the signal 'pool_feature'"):
        fastvid(VideoTokens(tokens.features, tokens.grid, without), 0.3)
    for bad in ({"tau": -2}, {"context": 1.1}, {"beta": "most"}):
        with pytest.raises(InputError, match=rf"{next(iter(bad))} is .*; it must be a number in"):
            fastvid(tokens, 0.3, **bad)
    for bad in ({"segments": 0}, {"anchor_step": 2.5}, {"anchor_step": True}):
        with pytest.raises(InputError, match=rf"{next(iter(bad))} is .*; it must be an integer of at least 1"):
            fastvid(tokens, 0.3, **bad)
    attention, vectors = tokens.signals["pool_attn"].copy(), tokens.signals["pool_feature"].copy()
    attention[2, 7], vectors[3, 1] = np.inf, np.nan
    with pytest.raises(InputError, match="'pool_attn' holds NaN or Inf"):
        fastvid(replaced(tokens, pool_attn=attention), 0.3)
    with pytest.raises(InputError, match="'pool_feature' holds NaN or Inf in frame 3"):
        fastvid(replaced(tokens, pool_feature=vectors), 0.3)
    x = tokens.features.copy()
    x[1, 2, 3, 4] = np.nan
    with pytest.raises(FeatureError, match=r"frame 1, row 2, column 3"):
        fastvid(VideoTokens(x, tokens.grid, tokens.signals), 0.3)
