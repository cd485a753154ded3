"""Selectors that keep tokens as they are, beside their plain restatements."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from oracles_pruning import by_attention, dets, dycoke_ttm, evs, highest, srts, st_simdiff, uniform, vidcom2
from parity_cases import CASES, Restatement, Video, parity

import stgraph
from stgraph.errors import MissingSignalError

SMALL = [case for case in CASES if case.T * case.H * case.W <= 300]
WITH_NEWLINES = [case for case in CASES if case.newlines]


def test_the_cases_cover_every_axis() -> None:
    assert {case.T for case in CASES} >= {1, 2, 5, 33, 64}
    assert {(case.H, case.W) for case in CASES} >= {(7, 7), (13, 13), (27, 27), (3, 5), (1, 6), (6, 1), (1, 1)}
    assert {case.budget for case in CASES} >= {0.1, 0.15, 0.3, 0.5, 1.0}
    assert {case.dtype for case in CASES} == {"float32", "bfloat16"}
    assert any(isinstance(case.budget, int) and case.budget < case.T for case in CASES)
    assert any(case.T < case.budget < case.H * case.W for case in CASES)
    assert len(WITH_NEWLINES) > 10


def test_another_method_is_noticed() -> None:
    """The comparison is worth something: the first frame's place is all that sets these two apart."""
    with pytest.raises(AssertionError, match="differ"):
        parity("evs", dets, on=SMALL)
    with pytest.raises(AssertionError, match="differ"):
        parity("fastv", by_attention(0), on=SMALL, layer=2)


@pytest.mark.parametrize(
    ("name", "restate"),
    [("evs", evs), ("dets", dets), ("dycoke-ttm", dycoke_ttm()), ("fastv", by_attention(1)), ("vidcom2", vidcom2())],
)
def test_newlines_as_tokens(name: str, restate: Restatement) -> None:
    parity(name, restate, on=WITH_NEWLINES, newlines_in=True, newlines="in", exact_ties=name != "vidcom2")


@pytest.mark.parametrize("axis", ["sequence", "time", "space"])
def test_uniform(axis: str) -> None:
    assert parity("uniform", uniform(axis), axis=axis).equal == len(CASES)


def test_evs() -> None:
    parity("evs", evs)


def test_dets() -> None:
    parity("dets", dets)


@pytest.mark.parametrize(
    ("options", "max_excused"),
    [
        ({"importance": "difference-then-centrality"}, 0),
        ({"importance": "difference-then-centrality", "tau_sim": 0.5, "tau_diff": 0.7}, 1),
        ({"importance": "difference", "tau_diff": "p80"}, 3),  # a percentile of differences that are all 0 on paper
    ],
)
def test_st_simdiff(options: dict[str, Any], max_excused: int) -> None:
    few = {"exact_ties": False, "max_excused": max_excused}
    parity("st-simdiff", st_simdiff(**options), on=SMALL, max_size=None, **few, **options)


def test_st_simdiff_attention() -> None:
    # Excused are identical frames: which of several equally central tokens stays decides whose attention is compared.
    parity("st-simdiff-attention", st_simdiff(), on=SMALL, exact_ties=False, max_excused=4, max_size=None)


def test_srts() -> None:
    parity("srts", srts, on=SMALL, exact_ties=False, max_size=None)


def test_vidcom2() -> None:
    parity("vidcom2", vidcom2(), exact_ties=False, max_excused=1)


def test_vidcom2_with_its_own_count() -> None:
    parity("vidcom2", vidcom2(exact_count=False), exact_ties=False, max_excused=1, exact_count=False)


def test_dycoke_ttm() -> None:
    parity("dycoke-ttm", dycoke_ttm())


@pytest.mark.parametrize("prune", [0.7, 0.3, 1.0])
def test_dycoke_ttm_with_its_own_count(prune: float) -> None:
    parity("dycoke-ttm", dycoke_ttm(exact_count=False, prune=prune), exact_count=False, prune=prune)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_fastv(layer: int) -> None:
    assert parity("fastv", by_attention(layer - 1), layer=layer).equal == len(CASES)


def test_fastv_measured_over_the_layers() -> None:
    """(2 N + 26 K) / 28 = r N."""
    compared = 0
    for case in CASES:
        if isinstance(case.budget, int) or case.budget <= 2 / 28:
            continue
        tokens = case.tokens()
        video = Video.of(tokens)
        result = stgraph.selector("fastv", **case.limits(), measured="layers", layer=2).select(tokens)
        n_keep = math.ceil((28 * Fraction(str(case.budget)) - 2) * video.n / 26)
        expected = by_attention(1)(video, n_keep, case.ratio(video.n))
        assert result.indices.tolist() == [int(video.row_of[i]) for i in expected.kept]
        assert result.account.mean_over_layers == pytest.approx((2 * video.n + 26 * n_keep) / 28)
        compared += 1
    assert compared > len(CASES) // 2


def test_fastv_asks_for_a_layer_that_was_saved() -> None:
    with pytest.raises(MissingSignalError, match="layer 36"):
        stgraph.selector("fastv", n_keep=3, layer=37, n_layers=40).select(CASES[0].tokens())


@pytest.mark.parametrize("name", ["random", "random-per-frame"])
def test_random_keeps_the_laws(name: str) -> None:
    """Exactly K, repeatable, another seed another draw; spread over the frames where it says so."""
    for case in CASES:
        tokens = case.tokens()
        video = Video.of(tokens)
        T, H, W = video.shape
        n_keep = case.count(video.n)
        one, again, other = (
            stgraph.selector(name, **case.limits(), seed=seed).select(tokens).indices for seed in (1, 1, 2)
        )
        assert one.tolist() == again.tolist()
        assert (np.diff(one) > 0).all() and one.size == n_keep
        assert set(one.tolist()) <= set(video.row_of.tolist())
        if 10 < n_keep < video.n - 10:
            assert one.tolist() != other.tolist()
        if name == "random-per-frame":
            frames = np.searchsorted(video.row_of, one) // (H * W)
            expected = [(t + 1) * n_keep // T - t * n_keep // T for t in range(T)]
            assert np.bincount(frames, minlength=T).tolist() == expected


@pytest.mark.parametrize("name", ["random", "random-per-frame"])
def test_random_is_uniform(name: str) -> None:
    """Every token equally often, and no pair of neighbours more often than by chance, within five deviations."""
    tokens = next(case for case in CASES if (case.T, case.H, case.W) == (5, 4, 5)).tokens()
    n, n_keep, draws = 100, 30, 600
    counts, pairs = np.zeros(n), 0
    for seed in range(draws):
        kept = np.zeros(n, bool)
        kept[stgraph.selector(name, n_keep=n_keep, seed=seed).select(tokens).nodes] = True
        counts += kept
        pairs += int((kept[1:] & kept[:-1]).sum())
    share = n_keep / n
    assert abs(counts - share * draws).max() < 5 * math.sqrt(draws * share * (1 - share))
    together = share * (n_keep - 1) / (n - 1)  # the chance of any two tokens
    expected = draws * (n - 1) * together
    if name == "random-per-frame":  # 6 of 20 in each of 5 frames; tokens of two frames know nothing of each other
        expected = draws * (5 * 19 * (6 / 20 * 5 / 19) + 4 * share**2)
    assert pairs == pytest.approx(expected, rel=0.05)


def test_highest_prefers_the_smaller_index() -> None:
    assert highest([1, 2, 2, 0, 2], [0, 1, 2, 3, 4], 2) == [1, 2]
