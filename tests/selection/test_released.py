"""ST-SimDiff as published: its count, its edge cases, its switches and what it refuses."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from selection_oracles import features

import stgraph
from stgraph import Budget, TokenGrid, VideoTokens, selector
from stgraph.bench.synthetic import synthetic_tokens
from stgraph.errors import FeatureError, InputError, MissingSignalError
from stgraph.selection.reasons import BOTH, EVENT, REPRESENTATIVE
from stgraph.selection.result import Selection

Array = np.ndarray[Any, Any]
NAME = "st-simdiff-released"


def released(x: Array | VideoTokens, ratio: float, **parameters: Any) -> Selection:
    tokens = x if isinstance(x, VideoTokens) else VideoTokens.from_array(x)
    return selector(NAME, retain_ratio=ratio, **parameters).select(tokens)


@pytest.fixture(scope="module")
def video() -> Array:
    return synthetic_tokens(8, 6, 7, 24, seed=1)


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5, 0.75, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_the_count_keeps_the_mean_over_the_layers_at_r(ratio: float, seed: int) -> None:
    x = features(seed, (6, 5, 6, 12))
    n = x[..., 0].size
    result = released(x, ratio)
    account = result.account
    assert selector(NAME, retain_ratio=ratio).count(TokenGrid(6, 5, 6)) is None
    assert (28 * ratio - 1) / 27 * n - 1 <= len(result) <= ratio * n + 1
    assert account.n_kept == len(result)
    assert account.n_input == result.report["n_survivors"] >= len(result)
    assert account.prune_layer == 1
    assert account.mean_over_layers == pytest.approx(ratio * n, abs=0.5)
    assert result.report["dropped_share"] <= 1 - ratio


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.8])
def test_without_reduction_the_survivors_are_kept(video: Array, ratio: float) -> None:
    cut, survivors = released(video, ratio), released(video, ratio, reduce=False)
    assert set(cut.indices) <= set(survivors.indices)
    assert len(survivors) == survivors.account.n_input == cut.account.n_input
    assert survivors.account.mean_over_layers == len(survivors)
    assert survivors.exactness == "exact"
    assert cut.exactness.startswith("approximate: survivors cut by difference-then-centrality")
    assert len(survivors) == 336 - survivors.report["n_dropped"]


def test_everything_at_one(video: Array) -> None:
    result = released(video, 1.0)
    assert result.indices.tolist() == list(range(336))
    assert result.exactness == "exact"


def test_small_communities_vanish() -> None:
    """ceil(2 * 0.7) = 2 and ceil(3 * 0.7) = 3 are dropped, unlike in the paper."""
    x = np.eye(12, dtype=np.float32)[[0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8]][None, None]
    survivors = released(x, 0.3, reduce=False)
    assert survivors.indices.tolist() == [2, 6, 7, 8, 9, 10, 11]
    assert survivors.report["n_communities"] == survivors.report["n_visited"] == 2
    assert released(x, 0.5, reduce=False).indices.tolist() == [0, 2, 3, 6, 7, 8, 9, 10, 11]


def test_it_stops_where_the_share_would_be_exceeded() -> None:
    """Two rows of five are communities; ceil(5 * 0.7) = 4 each, and 8 of 10 are more than 0.7."""
    x = np.eye(2, dtype=np.float32)[[0] * 5 + [1] * 5].reshape(1, 2, 5, 2)
    result = released(x, 0.3, reduce=False)
    assert result.indices.tolist() == [0, 5, 6, 7, 8, 9]  # the first of equals stays, the second row is not visited
    assert (result.report["n_communities"], result.report["n_visited"]) == (2, 1)
    x[0, 0, 0] = [0.98, 0.2]
    assert released(x, 0.3, reduce=False).indices.tolist() == [0, 1, 2, 3, 4, 5]  # the more similar row comes first


def test_no_community_leaves_all_to_the_importance() -> None:
    x = np.eye(20, dtype=np.float32).reshape(1, 4, 5, 20)
    score = np.random.default_rng(0).permutation(20).astype(np.float32)
    result = released(x, 0.3, importance=score)
    assert result.indices.tolist() == np.flatnonzero(score >= 14).tolist()
    assert result.account.n_input == 20
    assert result.exactness == "exact"
    assert len(released(x, 0.125, importance=score)) == 2  # 2.5 is rounded to even


def test_temporal_edges_may_equal_the_threshold_and_spatial_ones_may_not() -> None:
    pair = np.array([[5, 0], [4, 3]], np.float32)  # cosine 0.8
    for shape, edges in (((2, 1, 1, 2), 1), ((1, 1, 2, 2), 0), ((1, 2, 1, 2), 0)):
        result = released(pair.reshape(shape), 0.5, tau_sim=0.8, reduce=False)
        assert result.report["n_communities"] == edges


def test_events_are_exempted_but_not_kept() -> None:
    x = np.zeros((2, 1, 4, 3), np.float32)
    x[0, ..., 0] = 1
    x[1, ..., 1] = 1  # a cut: the second frame is one community of events
    result = released(x, 0.5, reduce=False)
    assert result.report["n_events"] == 4
    assert result.report["n_exempted"] == 2
    assert result.indices.tolist() == [0, 1, 4, 5, 6, 7]
    assert result.reason.tolist() == [REPRESENTATIVE] * 2 + [BOTH] * 2 + [EVENT] * 2
    centre = np.array([3, 3, 3, 3, 1, 1, 1, 1], np.float32)
    cut = released(x, 0.5, importance=centre)
    assert set(cut.indices[:2].tolist()) == {0, 1}
    assert len(cut) == round(8 * 0.75 * (14 - 0.75) / (27 * 0.75))


def test_zero_tokens_are_no_edge_and_make_no_event() -> None:
    x = np.ones((3, 1, 2, 4), np.float32)
    x[1, 0, 0] = 0
    result = released(x, 0.5, tau_sim=0, reduce=False)
    assert result.report["n_events"] == 0
    assert 2 in result.indices
    nothing = released(np.zeros((2, 2, 2, 3), np.float32), 0.5)
    assert nothing.indices.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 1, 1), (1, 5, 1), (1, 1, 6), (3, 2, 1)])
def test_thin_videos(shape: tuple[int, int, int]) -> None:
    x = features(2, (*shape, 3))
    for ratio in (0.3, 0.5, 0.9):
        try:
            assert 1 <= len(released(x, ratio)) <= math.prod(shape)
        except InputError as error:
            assert "is too small for" in str(error)


def test_switches(video: Array) -> None:
    full = released(video, 0.5, reduce=False).report
    for switch in ("spatial", "temporal", "right", "bottom"):
        part = released(video, 0.5, reduce=False, **{switch: False}).report
        assert part["n_communities"] != full["n_communities"], switch
        assert part["n_events"] == full["n_events"], switch
    alone = released(video, 0.5, spatial=False, temporal=False)
    assert alone.report["n_communities"] == 0
    assert len(alone) == 168


def test_newlines_are_tokens_like_the_patches() -> None:
    rng = np.random.default_rng(3)
    x = features(3, (4, 3, 4, 8))
    newline = rng.standard_normal(8).astype(np.float32)
    rows = np.concatenate([x, np.broadcast_to(newline, (4, 3, 1, 8))], axis=2)
    grid = TokenGrid(4, 3, 4, np.tile(np.array([0, 0, 0, 0, 1], np.uint8), 12))
    tokens = VideoTokens(rows.reshape(-1, 8), grid)
    counted, left_out = released(tokens, 0.3), released(tokens, 0.3, newlines="out")
    assert counted.account.newlines == "in"
    assert counted.account.n_visual == 60
    assert counted.indices.tolist() == released(rows, 0.3).indices.tolist()
    assert left_out.nodes.tolist() == released(x, 0.3).indices.tolist()
    attended = VideoTokens(rows.reshape(-1, 8), grid, {"importance": np.ones((4, 3, 4), np.float32)})
    assert len(released(attended, 0.3, importance="attention", newlines="out")) > 0
    with pytest.raises(MissingSignalError, match="Where newline tokens count, 'importance' has no value"):
        released(attended, 0.3, importance="attention")


def test_attention_is_used_where_it_is_there(video: Array) -> None:
    attention = np.random.default_rng(4).random((8, 6, 7), np.float32)
    attended = VideoTokens.from_array(video, importance=attention)
    auto, named, given = (released(attended, 0.3, importance=i) for i in ("auto", "attention", attention))
    assert auto.indices.tolist() == named.indices.tolist() == given.indices.tolist()
    assert auto.report["importance"] == "attention"
    assert auto.exactness.startswith("approximate: attention of the unpruned sequence")
    assert selector(NAME, retain_ratio=0.3, importance="attention").requires == {"importance"}
    assert selector(NAME, retain_ratio=0.3).requires == frozenset()
    bad = np.full((2, 2, 2, 3), np.nan, np.float32)
    with pytest.raises(MissingSignalError, match="importance='attention' needs the signal 'importance'"):
        released(bad, 0.3, importance="attention")
    with pytest.raises(FeatureError, match="first bad token is 0"):
        released(bad, 0.3)


def test_equal_tokens_have_equal_centrality() -> None:
    """Newlines are identical: of these, the first ones must stay, whatever the size of their community."""
    random = np.random.default_rng(5).standard_normal((1, 1, 48, 1000)).astype(np.float32)
    for n in range(2, 24):
        x = random.copy()
        x[..., :n, :] = x[..., :1, :]
        dropped = set(range(48)) - set(released(x, 0.5, reduce=False).indices.tolist())
        assert dropped == set(range(n // 2, n)), n


def test_scale_and_threads_change_nothing(video: Array) -> None:
    from stgraph.kernels.cpu.threads import num_threads, set_num_threads

    scale = np.random.default_rng(6).choice([0.25, 0.5, 2, 4], (8, 6, 7, 1)).astype(np.float32)
    before = num_threads()
    try:
        runs = []
        for threads in (1, 3):
            set_num_threads(threads)
            runs += [released(video, 0.3).indices.tolist(), released(video * scale, 0.3).indices.tolist()]
    finally:
        set_num_threads(before)
    assert runs.count(runs[0]) == 4


def test_n_layers_moves_the_final_cut(video: Array) -> None:
    few, many = (released(video, 0.3, n_layers=n) for n in (8, 64))
    assert len(few) < len(many)
    assert len(few.account.per_layer) == 8
    for result in (few, many):
        assert result.account.mean_over_layers == pytest.approx(0.3 * 336, abs=0.5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tau_sim": -0.1}, r"tau_sim is -0.1; it must be a number in \[0, 1\]"),
        ({"tau_diff": "p95"}, "tau_diff is 'p95'"),
        ({"tau_diff": math.nan}, "tau_diff is nan"),
        ({"importance": "size"}, "importance is 'size'"),
        ({"n_layers": 1}, "n_layers is 1; it must be an integer of at least 2"),
        ({"n_layers": True}, "n_layers is True"),
        ({"protect": True}, "has no parameter 'protect'"),
    ],
)
def test_parameters_out_of_range(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        selector(NAME, retain_ratio=0.3, **parameters)


def test_a_ratio_too_small_is_an_error(video: Array) -> None:
    same = np.ones_like(video)  # one community, of which 330 of 336 tokens were more than the share of 0.98
    with pytest.raises(InputError, match=r"ratio 0\.02 is too small for 336 tokens: layer 0 of 28 alone sees 336"):
        released(same, 0.02)
    assert len(released(same, 0.02, reduce=False)) == 336


def test_the_result_explains_itself(video: Array) -> None:
    result = released(video, 0.3, tau_diff=0.5)
    assert {"selector": NAME, "tau_diff": 0.5, "reduce": True}.items() <= result.provenance.items()
    json.dumps([dict(result.report), dict(result.provenance)])
    assert np.isfinite(result.scores).all()
    again = selector(NAME, n_keep=100).select(VideoTokens.from_array(video), Budget(0.3))
    assert again.account.n_kept == len(released(video, 0.3))


def test_the_sample() -> None:
    result = released(stgraph.sample(), 0.3)
    assert 0.27 * 10_240 < len(result) <= 0.3 * 10_240
