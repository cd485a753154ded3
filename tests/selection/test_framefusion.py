"""FrameFusion: runs of similar neighbours along time, its two ways to count, and the cut by attention."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from selection_oracles import features

from stgraph import TokenGrid, VideoTokens, selector
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens
from stgraph.errors import FeatureError, InputError, MissingSignalError
from stgraph.selection.result import Selection

Array = np.ndarray[Any, Any]


def fused(x: Array | VideoTokens, ratio: float | None = None, name: str = "framefusion", **options: Any) -> Selection:
    tokens = x if isinstance(x, VideoTokens) else VideoTokens.from_array(x)
    return selector(name, retain_ratio=ratio, **options).select(tokens)


def turned(*angles: float) -> Array:
    """[T, 1, 1, 2]: one token a frame, whose direction turns by these degrees from frame to frame."""
    at = np.deg2rad(np.cumsum([0.0, *angles]))
    return np.stack([np.cos(at), np.sin(at)], axis=-1).astype(np.float32)[:, None, None]


@pytest.fixture(scope="module")
def video() -> VideoTokens:
    return synthetic_signals(VideoTokens.from_array(synthetic_tokens(12, 5, 6, 24, seed=2)), 2)


@pytest.mark.parametrize("name", ["framefusion", "framefusion-attention"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 4), (6, 1, 1), (2, 1, 5), (5, 4, 1), (7, 3, 4)])
@pytest.mark.parametrize("kind", ["random", "identical", "zero"])
def test_exactly_the_budget(name: str, shape: tuple[int, int, int], kind: str) -> None:
    x = features(1, (*shape, 6))
    if kind == "identical":
        x[:] = x[:1]
    if kind == "zero":
        x[::2] = 0
    tokens = synthetic_signals(VideoTokens.from_array(x), d_encoder=8)
    n = math.prod(shape)
    for n_keep in sorted({1, 2, n // 3, n // 2, n - 1, n} & set(range(1, n + 1))):
        chosen = selector(name, n_keep=n_keep)
        result = chosen.select(tokens)
        assert len(result) == n_keep == chosen.count(tokens.grid)
        assert (np.diff(result.indices) > 0).all()
        if n_keep == n:
            continue
        assert np.isfinite(result.features).all()
        rows = result.assignment.toarray()
        assert np.allclose(rows.sum(axis=1), 1)
        assert (rows[np.arange(n_keep), result.indices] > 0).all()
        assert (np.count_nonzero(rows, axis=0) <= 1).all()


def test_runs_are_averaged_into_their_first_token() -> None:
    x = turned(5, 5, 80, 30, 5)  # the three steps of 5 degrees merge
    result = fused(x, n_keep=3)
    assert result.indices.tolist() == [0, 3, 4]
    assert result.features is not None
    means = [x[0:3].mean(axis=0), x[3], x[4:6].mean(axis=0)]
    assert np.allclose(result.features, np.concatenate(means).reshape(3, 2), atol=1e-6)
    assert result.reasons() == {"diversity": 1, "context": 2}
    assert result.report["longest_run"] == 3
    assert result.report["n_runs"] == 2
    assert result.report["lowest_merged_similarity"] == pytest.approx(math.cos(math.radians(5)))
    assert result.scores.tolist() == pytest.approx([2, 1 - math.cos(math.radians(80)), 1 - math.cos(math.radians(30))])


def test_a_run_stays_at_its_position() -> None:
    x = np.zeros((3, 1, 2, 2), np.float32)
    x[:, 0, 0, 0] = x[:, 0, 1, 1] = [1, 2, 4]
    result = fused(x, n_keep=2)
    assert result.indices.tolist() == [0, 1]
    assert result.assignment.toarray().tolist() == [
        pytest.approx([1 / 3, 0] * 3),
        pytest.approx([0, 1 / 3] * 3),
    ]


def test_ties_go_to_the_earlier_token() -> None:
    same = np.ones((4, 1, 3, 4), np.float32)
    result = fused(same, n_keep=7)
    assert result.indices.tolist() == [0, 1, 2, 8, 9, 10, 11]
    assert fused(same, n_keep=2).indices.tolist() == [0, 1]
    assert fused(same, n_keep=2).exactness.startswith("approximate: merging alone keeps 3 tokens")


def test_edges_below_tau_are_owned_up_to() -> None:
    x = turned(5, 80, 30, 70)
    assert fused(x, n_keep=3).exactness == "exact"
    assert fused(x, n_keep=2).exactness == "approximate: 1 of 3 merged edges lie below tau"
    assert fused(x, n_keep=2, tau=0.3).exactness == "exact"
    assert fused(x, n_keep=2).report["n_merged_below_tau"] == 1


def test_the_authors_count() -> None:
    x = turned(5, 10, 15, 80, 80, 80, 80, 80, 80)
    few = fused(x, 0.3, exact_count=False)  # three edges reach tau, fewer than seven
    assert len(few) == 7
    assert few.exactness.startswith("approximate: the first merge alone")
    enough = fused(x, 0.8, exact_count=False)  # int(0.2 * 10) = 1: 1 - 0.8 is a little less than 0.2
    assert (len(enough), enough.exactness) == (9, "exact")
    assert enough.indices.tolist() == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert selector("framefusion", retain_ratio=0.3, exact_count=False).count(TokenGrid(10, 1, 1)) is None
    assert fused(x, 1.0, exact_count=False).indices.tolist() == list(range(10))
    assert len(fused(features(1, (1, 3, 3, 4)), 0.3, exact_count=False)) == 9


@pytest.mark.parametrize("ratio", [0.5, 0.7, 0.85])
def test_both_counts_agree_where_enough_edges_reach_tau(video: VideoTokens, ratio: float) -> None:
    ours, authors = (fused(video, ratio, exact_count=exact, tau=0.1) for exact in (True, False))
    assert ours.exactness == authors.exactness == "exact"
    assert len(authors) - len(ours) in (0, 1)
    assert set(ours.indices) <= set(authors.indices)


def test_newlines_are_tokens_like_the_patches() -> None:
    x = features(3, (4, 2, 3, 8))
    rows = np.concatenate([x, np.ones((4, 2, 1, 8), np.float32)], axis=2)
    tokens = VideoTokens(rows.reshape(-1, 8), TokenGrid(4, 2, 3, np.tile(np.array([0, 0, 0, 1], np.uint8), 8)))
    counted = fused(tokens, 0.5)
    assert counted.account.newlines == "in"
    assert counted.indices.tolist() == fused(rows, 0.5).indices.tolist()
    assert counted.assignment.shape == (16, 32)
    left_out = fused(tokens, 0.5, newlines="out")
    assert left_out.nodes.tolist() == fused(x, 0.5).indices.tolist()
    attended = VideoTokens(tokens.features, tokens.grid, {"importance": np.ones((4, 2, 3), np.float32)})
    with pytest.raises(MissingSignalError, match="Where newline tokens count, 'importance' has no value"):
        fused(attended, 0.5, "framefusion-attention")
    assert len(fused(attended, 0.5, "framefusion-attention", newlines="out")) == 12


def test_attention_cuts_what_the_merge_leaves(video: VideoTokens) -> None:
    merged = fused(video, 0.3, exact_count=False, tau=0.9)
    cut = fused(video, 0.3, "framefusion-attention", tau=0.9)
    assert cut.account.n_input == len(merged) > len(cut) == 108
    assert cut.account.prune_layer == 1
    assert cut.reasons() == {"attention": 108}
    attention = video.signals["importance"].reshape(-1)
    best = merged.indices[np.argsort(-attention[merged.indices], kind="stable")[:108]]
    assert cut.indices.tolist() == sorted(best.tolist())
    whole = dict(zip(merged.indices.tolist(), merged.assignment.toarray(), strict=True))
    assert np.array_equal(cut.assignment.toarray(), np.array([whole[i] for i in cut.indices.tolist()]))
    assert cut.report["n_pruned"] == len(merged) - 108
    assert cut.exactness.startswith("approximate: the later merges need the running LLM")


def test_measured_over_the_layers_the_mean_is_at_most_r(video: VideoTokens) -> None:
    result = fused(video, 0.3, "framefusion-attention", measured="layers")
    assert len(result) == math.ceil((0.3 * 28 - 1) * 360 / 27)
    assert result.account.mean_over_layers <= 0.3 * 360 + 1


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.8])
def test_the_authors_count_makes_the_ratio_the_mean_over_the_layers(video: VideoTokens, ratio: float) -> None:
    result = fused(video, ratio, "framefusion-attention", exact_count=False, n_layers=12, tau=0.9)
    assert abs(result.account.mean_over_layers - ratio * 360) <= 1
    assert selector("framefusion-attention", retain_ratio=ratio, exact_count=False).count(video.grid) is None
    with pytest.raises(InputError, match="n_layers is 1; it must be an integer of at least 2"):
        selector("framefusion-attention", retain_ratio=ratio, n_layers=1)


def test_similarity_to_the_token_before_skips_what_was_merged_away() -> None:
    from stgraph.selection.rivals.framefusion_runs import to_token_before

    states = np.array([[1, 0], [0, 0], [1, 1], [0, 2], [3, 0]], np.float32)
    found = to_token_before(states, np.array([0, 1, 3, 4, 6]), 3)  # positions 0, 1, 0, 1, 0
    assert found.tolist() == pytest.approx([-2, -2, math.sqrt(0.5), 0, math.sqrt(0.5)])


def test_attention_may_come_from_the_saved_layers(video: VideoTokens) -> None:
    signals = {name: values for name, values in video.signals.items() if name != "importance"}
    saved = VideoTokens(video.features, video.grid, signals)
    ours, same = (fused(tokens, 0.2, "framefusion-attention") for tokens in (video, saved))
    assert ours.indices.tolist() == same.indices.tolist()
    with pytest.raises(MissingSignalError, match="framefusion-attention needs the signal 'importance', or"):
        fused(VideoTokens(video.features, video.grid), 0.2, "framefusion-attention")
    broken = VideoTokens(video.features, video.grid, {"importance": np.full(video.grid.shape, np.inf, np.float32)})
    with pytest.raises(InputError, match="signal 'importance' is infinite at token 0"):
        fused(broken, 0.2, "framefusion-attention")


@pytest.mark.parametrize("name", ["framefusion", "framefusion-attention"])
def test_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"tau is 1\.5"):
        selector(name, retain_ratio=0.3, tau=1.5)
    bad = np.ones((2, 2, 2, 3), np.float32)
    bad[1, 0, 1, 2] = np.nan
    tokens = VideoTokens.from_array(bad, importance=np.ones((2, 2, 2), np.float32))
    with pytest.raises(FeatureError, match="first bad token is 5"):
        fused(tokens, 0.5, name)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_scale_of_the_video_and_threads_change_nothing(video: VideoTokens, dtype: str) -> None:
    from stgraph.kernels.cpu.threads import num_threads, set_num_threads

    x = video.lattice.astype(dtype)
    before = num_threads()
    runs = []
    try:
        for threads in (1, 3):
            set_num_threads(threads)
            results = [fused(x, 0.4), fused(x * x.dtype.type(2), 0.4)]
            runs += [result.indices.tolist() for result in results]
            assert all(result.features is not None and result.features.dtype == dtype for result in results)
    finally:
        set_num_threads(before)
    assert runs.count(runs[0]) == 4


def test_the_result_explains_itself(video: VideoTokens) -> None:
    for name in ("framefusion", "framefusion-attention"):
        result = fused(video, 0.3, name)
        assert {"selector": name, "tau": 0.6}.items() <= result.provenance.items()
        json.dumps([dict(result.report), dict(result.provenance)])
