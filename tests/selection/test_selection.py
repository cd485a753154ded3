"""ST-SimDiff against its plain restatement, and the laws every selection keeps."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from selection_oracles import Expected, Oracle, features

import stgraph
from stgraph import Selection, VideoTokens, selector
from stgraph.selection.reasons import REPRESENTATIVE

Array = np.ndarray[Any, Any]
LUCK = 1e-5  # below this, which of two scores is larger is float32's choice
DECIMALS = [0.3, 0.07, 0.1, 0.55, 1 / 3, Fraction(1, 3), Decimal("0.15"), np.float32(0.3), np.float16(0.7), 1, 1e-9]
SWITCHES = [{"temporal": False}, {"spatial": False}, {"right": False}, {"bottom": False}]


videos = st.builds(
    features,
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(2, 6)),
    noise=st.sampled_from([0.1, 0.3, 1.0]),
)
ratios = st.fractions(Fraction(1, 40), 1, max_denominator=40)
thresholds = st.sampled_from([-0.5, 0.0, 0.3, 0.8, 0.95])
event_thresholds = st.sampled_from([-1.0, 0.2, 0.7, "p0", "p50", "p95", "p100"])


@pytest.fixture(scope="module")
def clip() -> VideoTokens:
    """The first frames of the bundled sample, a cut among them made by hand."""
    lattice = stgraph.sample().lattice
    return VideoTokens.from_array(np.concatenate([lattice[:3], lattice[30:33]]))


def same_tokens(result: Selection, expected: Expected) -> None:
    assert result.nodes.tolist() == expected.kept
    reasons = [(i in expected.representatives) + 2 * (i in expected.events) for i in expected.kept]
    assert result.reason.tolist() == reasons


@settings(deadline=None, max_examples=150)
@given(x=videos, ratio=ratios, tau_sim=thresholds, tau_diff=event_thresholds, switch=st.sampled_from([{}, *SWITCHES]))
def test_it_is_the_paper(x: Array, ratio: Fraction, tau_sim: float, tau_diff: Any, switch: dict[str, bool]) -> None:
    oracle = Oracle(x)
    families = [f for f in ("right", "bottom", "temporal") if switch.get(f, True)]
    if switch == {"spatial": False}:
        families = ["temporal"]
    expected = oracle.select(oracle.components(tau_sim, families), ratio, tau_diff)
    assume(expected.margin > LUCK)
    chosen = selector("st-simdiff", retain_ratio=ratio, tau_sim=tau_sim, tau_diff=tau_diff, max_size=None, **switch)
    result = chosen.select(VideoTokens.from_array(x))
    same_tokens(result, expected)
    assert result.report["n_representatives"] == len(expected.representatives)
    assert result.report["n_events"] == len(expected.events)


@settings(deadline=None, max_examples=100)
@given(
    x=videos,
    ratio=ratios,
    importance=st.sampled_from(["centrality", "difference", "norm", "array", "attention"]),
    protect=st.booleans(),
)
def test_it_is_the_paper_under_any_importance(x: Array, ratio: Fraction, importance: str, protect: bool) -> None:
    oracle = Oracle(x)
    given_values = np.random.default_rng(0).permutation(x[..., 0].size).reshape(x.shape[:3]) / 8
    named = importance not in ("array", "attention")
    communities = oracle.components(0.8)
    expected = oracle.select(communities, ratio, 0.2, importance if named else given_values, protect)
    assume(expected.margin > LUCK)
    tokens = VideoTokens.from_array(x, importance=given_values if importance == "attention" else None)
    used: Any = given_values if importance == "array" else importance
    options = {"importance": used, "protect_events": protect, "max_size": None}
    same_tokens(selector("st-simdiff", retain_ratio=ratio, **options).select(tokens), expected)


@settings(deadline=None, max_examples=60)
@given(x=videos, ratio=ratios, backend=st.sampled_from(["lattice-components", "igraph-leiden"]))
def test_it_is_the_paper_on_any_communities(x: Array, ratio: Fraction, backend: str) -> None:
    tokens = VideoTokens.from_array(x)
    chosen: Any = selector("st-simdiff", retain_ratio=ratio, backend=backend, tau_sim=0.1)
    partition = chosen.analyse(tokens).partition
    communities = [partition.members(c).tolist() for c in range(partition.n_communities)]
    expected = Oracle(x).select(communities, ratio)
    assume(expected.margin > LUCK)
    assert partition.sizes.max() <= max(1, math.isqrt(tokens.grid.n_nodes))
    same_tokens(chosen.select(tokens), expected)


@settings(deadline=None, max_examples=100)
@given(x=videos, ratio=st.one_of(ratios, st.sampled_from(DECIMALS)), tau_diff=event_thresholds)
def test_a_selection_keeps_its_laws(x: Array, ratio: Any, tau_diff: Any) -> None:
    tokens = VideoTokens.from_array(x)
    chosen: Any = selector("st-simdiff", retain_ratio=ratio, tau_diff=tau_diff)
    result = chosen.select(tokens)
    n = tokens.grid.n_nodes
    exact = Fraction(str(ratio)) if not isinstance(ratio, Fraction) else ratio
    indices = result.indices
    assert len(result) == chosen.count(tokens.grid) == math.ceil(exact * n)
    assert indices.dtype == np.int64
    assert indices.flags.c_contiguous and indices.flags.owndata and indices.flags.writeable
    assert (np.diff(indices) > 0).all() and 0 <= indices[0] and indices[-1] < n
    assert result.reason.dtype == np.uint8
    assert (result.reason > 0).all() and (result.reason < 4).all()
    assert result.scores.dtype == np.float32
    assert result.scores.shape == indices.shape
    assert sum(result.reasons().values()) == len(result)
    if exact == 1:
        assert indices.tolist() == list(range(n))
    every = selector("st-simdiff", retain_ratio=ratio, tau_diff=tau_diff, reduce=False).select(tokens)
    assert set(indices.tolist()) <= set(every.indices.tolist())
    assert len(every) == result.report["n_candidates"] == len(result) + result.report["excess"]
    represented = every.nodes[every.reason & REPRESENTATIVE > 0]
    partition = chosen.analyse(tokens).partition
    assert set(partition.labels[represented].tolist()) == set(range(partition.n_communities))
    # Whatever was dropped mattered no more than what was kept.
    dropped = ~np.isin(every.indices, indices)
    assert every.scores[dropped].max(initial=-np.inf) <= result.scores.min()


@settings(deadline=None, max_examples=60)
@given(x=videos, seed=st.integers(0, 2**32 - 1))
def test_lengths_of_features_do_not_matter(x: Array, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = 2.0 ** rng.integers(-8, 9, (*x.shape[:3], 1))  # a power of two rounds nothing
    found = [
        selector("st-simdiff", retain_ratio=0.4).select(VideoTokens.from_array(a)) for a in (x, x * np.float32(size))
    ]
    assert found[0].indices.tolist() == found[1].indices.tolist()
    assert found[0].reason.tolist() == found[1].reason.tolist()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("max_size", ["sqrt", None])
def test_the_number_of_threads_changes_nothing(max_size: Any) -> None:
    chosen = selector("st-simdiff", retain_ratio=0.3, max_size=max_size, tau_sim=0.6, tau_diff="p90")
    found = []
    for n in (1, 2, 3):
        stgraph.set_num_threads(n)
        found.append(chosen.select(stgraph.sample()))
    for other in found[1:]:
        np.testing.assert_array_equal(other.indices, found[0].indices)
        np.testing.assert_array_equal(other.scores, found[0].scores)


def test_a_mirrored_video_has_mirrored_communities_and_events(clip: VideoTokens) -> None:
    chosen: Any = selector("st-simdiff", retain_ratio=0.3, max_size=None, tau_diff="p90")
    there, mirrored = (chosen.analyse(VideoTokens.from_array(x)) for x in (clip.lattice, clip.lattice[:, :, ::-1]))
    shape = clip.grid.shape
    flipped = mirrored.partition.labels.reshape(shape)[:, :, ::-1].ravel()
    assert stgraph.agreement(there.partition.labels, flipped).vi == 0.0
    assert there.events.any()
    np.testing.assert_array_equal(there.events.reshape(shape), mirrored.events.reshape(shape)[:, :, ::-1])
    central = mirrored.centrality.reshape(shape)[:, :, ::-1].ravel()
    np.testing.assert_allclose(there.centrality, central, atol=1e-5)
