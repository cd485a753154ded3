"""ST-SimDiff on videos whose answer is known: thin, constant, dark, cut, padded; and its switches."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from selection_oracles import features

import stgraph
from stgraph import Budget, TokenGrid, VideoTokens, build_graph, selector
from stgraph.errors import MissingSignalError
from stgraph.selection.base import Selector
from stgraph.selection.reasons import REPRESENTATIVE
from stgraph.selection.st_simdiff.events import event_tokens


@pytest.fixture(scope="module")
def clip() -> VideoTokens:
    """The first frames of the bundled sample, a cut among them made by hand."""
    lattice = stgraph.sample().lattice
    return VideoTokens.from_array(np.concatenate([lattice[:3], lattice[30:33]]))


def test_a_percentile_is_of_this_videos_differences(clip: VideoTokens) -> None:
    n_edges = clip.grid.n_nodes - clip.grid.H * clip.grid.W
    counts = [
        selector("st-simdiff", retain_ratio=0.5, tau_diff=f"p{q}").select(clip).report["n_events"]
        for q in (0, 75, 95, 100)
    ]
    assert counts[0] == n_edges - 1
    assert counts[1:3] == pytest.approx([n_edges * 0.25, n_edges * 0.05], abs=1)
    assert counts[3] == 0
    fixed = selector("st-simdiff", retain_ratio=0.5, tau_diff=0.2).select(clip)
    assert fixed.report["event_threshold"] == 0.2
    assert fixed.report["n_events"] > 0


def test_without_temporal_edges_there_are_still_events(clip: VideoTokens) -> None:
    found = [selector("st-simdiff", retain_ratio=0.5, temporal=on).select(clip).report for on in (True, False)]
    assert found[0]["n_events"] == found[1]["n_events"] > 0
    assert found[0]["n_communities"] < found[1]["n_communities"]
    off = selector("st-simdiff", retain_ratio=0.5, events=False).select(clip)
    assert off.report["n_events"] == 0
    assert off.report["event_threshold"] is None


def test_one_frame_has_no_events() -> None:
    x = features(0, (1, 4, 5, 6))
    for tau_diff in (1.0, "p0"):
        result = selector("st-simdiff", retain_ratio=0.5, tau_diff=tau_diff).select(VideoTokens.from_array(x))
        assert result.reasons() == {"representative": 10}


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 1, 1), (1, 5, 1), (1, 1, 6)])
def test_thin_videos(shape: tuple[int, int, int]) -> None:
    x = features(1, (*shape, 3))
    n = math.prod(shape)
    for n_keep in range(1, n + 1):
        assert len(selector("st-simdiff", n_keep=n_keep).select(VideoTokens.from_array(x))) == n_keep


def test_identical_frames_keep_the_first_of_equals() -> None:
    x = np.ones((4, 3, 3, 8), np.float32)
    result = selector("st-simdiff", retain_ratio=0.25, max_size=None).select(VideoTokens.from_array(x))
    assert result.indices.tolist() == list(range(9))
    assert result.report["n_events"] == 0
    for importance in ("difference", "norm", np.zeros((4, 3, 3))):
        tied = selector("st-simdiff", n_keep=5, importance=importance, tau_sim=1.0)  # every token on its own
        assert tied.select(VideoTokens.from_array(x)).indices.tolist() == [0, 1, 2, 3, 4]


def test_zero_tokens_are_alone_and_every_one_an_event() -> None:
    x = np.ones((2, 2, 2, 4), np.float32)
    x[1, 0, 0] = 0
    chosen: Any = selector("st-simdiff", retain_ratio=0.5)
    analysis = chosen.analyse(VideoTokens.from_array(x))
    assert analysis.partition.sizes[analysis.partition.labels[4]] == 1
    assert np.flatnonzero(analysis.events).tolist() == [4]
    nothing = selector("st-simdiff", retain_ratio=0.5).select(VideoTokens.from_array(np.zeros_like(x)))
    assert nothing.indices.tolist() == [4, 5, 6, 7]  # no edges: all are candidates, the later frame's are events


def test_no_edge_above_the_threshold_leaves_the_choice_to_importance() -> None:
    x = features(3, (3, 4, 4, 6))
    score = np.random.default_rng(1).permutation(48).astype(np.float32)
    result = selector("st-simdiff", n_keep=7, tau_sim=1.0, importance=score).select(VideoTokens.from_array(x))
    assert result.report["n_communities"] == result.report["n_candidates"] == 48
    assert result.indices.tolist() == np.flatnonzero(score >= 41).tolist()


def test_attention_is_used_where_it_is_there_and_missed_where_it_is_not(clip: VideoTokens) -> None:
    chosen = selector("st-simdiff", retain_ratio=0.2, importance="attention")
    assert chosen.requires == {"importance"}
    assert selector("st-simdiff", retain_ratio=0.2).requires == frozenset()
    broken = VideoTokens.from_array(np.full((2, 2, 2, 3), np.nan, np.float32))
    with pytest.raises(MissingSignalError, match="importance='attention' needs the signal 'importance'"):
        chosen.select(broken)  # and not an error about NaN: nothing was computed yet
    attention = np.random.default_rng(2).random(clip.grid.shape, np.float32)
    attended = VideoTokens.from_array(clip.lattice, importance=attention)
    named, auto, given_array = (
        selector("st-simdiff", retain_ratio=0.2, importance=importance).select(attended)
        for importance in ("attention", "auto", attention)
    )
    assert named.indices.tolist() == auto.indices.tolist() == given_array.indices.tolist()
    assert auto.report["importance"] == "attention"
    plain = selector("st-simdiff", retain_ratio=0.2).select(clip)
    assert plain.report["importance"] == "difference-then-centrality"
    assert plain.indices.tolist() != auto.indices.tolist()


def test_protected_events_leave_last(clip: VideoTokens) -> None:
    options: dict[str, Any] = {"tau_diff": "p70", "importance": "norm", "retain_ratio": 0.4}
    free, protected = (selector("st-simdiff", protect_events=on, **options).select(clip) for on in (False, True))
    n_events = protected.report["n_events"]
    assert n_events < len(protected)
    assert sum(protected.reason > REPRESENTATIVE) == n_events > sum(free.reason > REPRESENTATIVE)
    few = selector("st-simdiff", protect_events=True, tau_diff="p70", importance="norm", n_keep=20).select(clip)
    assert (few.reason > REPRESENTATIVE).all()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_selects_what_its_float32_copy_selects(clip: VideoTokens, dtype: Any) -> None:
    half = clip.lattice.astype(dtype)
    found = [
        selector("st-simdiff", retain_ratio=0.3).select(VideoTokens.from_array(a))
        for a in (half, half.astype(np.float32))
    ]
    assert found[0].indices.tolist() == found[1].indices.tolist()


def test_newlines_are_neither_counted_nor_kept(clip: VideoTokens) -> None:
    T, H, W = clip.grid.shape
    kind = np.zeros((T, H, W + 1), np.uint8)
    kind[:, :, W] = 1
    padded = np.full((*kind.shape, clip.dimension), 7, np.float32)
    padded[:, :, :W] = clip.lattice
    tokens = VideoTokens(padded.reshape(-1, clip.dimension), TokenGrid(T, H, W, kind.ravel()))
    plain, lined = (selector("st-simdiff", retain_ratio=0.3).select(video) for video in (clip, tokens))
    assert lined.nodes.tolist() == plain.nodes.tolist() == plain.indices.tolist()
    np.testing.assert_array_equal(tokens.features[lined.indices], plain.gather(clip.lattice))
    np.testing.assert_array_equal(lined.gather(tokens.features), plain.gather(clip.lattice))
    np.testing.assert_array_equal(lined.mask, plain.mask)
    assert (kind.ravel()[lined.indices] == 0).all()


def test_a_budget_for_one_call(clip: VideoTokens) -> None:
    chosen: Any = selector("st-simdiff", retain_ratio=0.5)
    assert isinstance(chosen, Selector)
    analysis = chosen.analyse(clip)
    for budget in (Budget(0.1), Budget(n_keep=100)):
        once = chosen.select(clip, budget)
        assert len(once) == chosen.count(clip.grid, budget) == budget.count(clip.grid)
        assert once.indices.tolist() == chosen.select_from(analysis, budget).indices.tolist()
    assert len(chosen.select(clip)) == clip.grid.n_nodes / 2


def test_equal_differences_exceed_no_percentile() -> None:
    x = np.zeros((2, 1, 8, 4), np.float32)
    x[0, ..., 0] = x[1, ..., 1] = 1
    x[1, ..., 0] = 1e-10  # 1 - (1 - w) is not w: compared as similarities, all eight would count
    assert not event_tokens(build_graph(VideoTokens.from_array(x)), "p95").any()


def test_provenance_repeats_the_selection(clip: VideoTokens) -> None:
    kept = selector("st-simdiff", n_keep=5, tau_diff=np.float32(0.2), importance="norm", events=False).select(clip)
    facts = json.loads(json.dumps(kept.provenance))
    assert facts["retain_ratio"] == str(Fraction(5, clip.grid.n_nodes))
    assert (facts["importance"], facts["events"], facts["reduce"]) == ("norm", False, True)
    assert facts["tau_diff"] == pytest.approx(0.2)
