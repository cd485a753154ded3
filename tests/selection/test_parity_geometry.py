"""Selectors that read features alone, beside their plain restatements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles_geometry import divprune, drop, gprune, pool, tome, vcast
from oracles_pruning import evs
from parity_cases import CASES, Video, parity

from stgraph import VideoTokens, selector
from stgraph.errors import InputError
from stgraph.selection.rivals.vcast import frame_counts

SMALL = [case for case in CASES if case.T * case.H * case.W <= 300]
MODEST = [case for case in CASES if case.T * case.H * case.W < 700]


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["video", "frame"])
def test_divprune(scope: str) -> None:
    # A near-tie in float32 would change all later picks.
    parity("divprune", divprune(scope), on=MODEST, max_excused=2, scope=scope)


def test_divprune_never_picks_twice() -> None:
    """Half of the tokens identical, or all: the official argmax returns kept ones again."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 8, 8, 16)).astype(np.float32)
    x.reshape(-1, 16)[32:] = x[0, 0, 0]
    tokens = VideoTokens.from_array(x)
    assert selector("divprune", n_keep=48).select(tokens).indices.tolist() == list(range(48))
    same = VideoTokens.from_array(np.ones((1, 8, 8, 16), np.float32))
    assert selector("divprune", n_keep=16).select(same).indices.tolist() == list(range(16))


@pytest.mark.parametrize("name", ["divprune", "tome"])
def test_an_unknown_scope(name: str) -> None:
    with pytest.raises(InputError, match="scope is 'clip'; it must be one of video, frame"):
        selector(name, n_keep=1, scope="clip")


@pytest.mark.parametrize("temperature", [0.7, 0.1])
def test_vcast(temperature: float) -> None:
    parity("vcast", vcast(temperature), temperature=temperature, exact_ties=False, max_excused=1)


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf"), float("nan"), "0.7", True])
def test_vcast_temperature(temperature: Any) -> None:
    with pytest.raises(InputError, match=r"temperature is .*; it must be a finite number above 0"):
        selector("vcast", n_keep=1, temperature=temperature)


def test_vcast_gives_leftovers_to_all_frames() -> None:
    """The official loop gives one frame everything that is left, until it is full."""
    curvature = np.random.default_rng(0).uniform(0, 2, 16)
    weights = np.exp(curvature / 0.7)
    floors = 1 + np.floor(weights / weights.sum() * (196 - 16))
    counts = frame_counts(curvature, 0.7, 196, 49)
    assert counts.sum() == 196 and floors.sum() < 190
    assert set((counts - floors).tolist()) == {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"tau": 0.8, "steps": 1}, {"tau": 0.2, "steps": 3}])
def test_gprune(options: dict[str, Any]) -> None:
    parity("gprune", gprune(**options), on=SMALL, exact_ties=False, max_excused=1, **options)


@pytest.mark.parametrize("options", [{"tau": 0.0}, {"tau": 2.0}, {"steps": 0}, {"steps": 1.5}])
def test_gprune_parameters(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="|".join(options)):
        selector("gprune", n_keep=1, **options)


@pytest.mark.parametrize("name", ["evs", "dtd"])
def test_a_share_of_each_frame(name: str) -> None:
    parity(name, drop(), per_frame=True)


def test_dtd_without_its_shares_is_evs() -> None:
    parity("dtd", evs, per_frame=False)


@pytest.mark.parametrize("threshold", [0.25, 0.9, -1.0, 1.0])
def test_a_threshold(threshold: float) -> None:
    parity("dtd", drop(threshold=threshold), threshold=threshold, fits_budget=False, max_excused=2)


@pytest.mark.parametrize("options", [{"per_frame": 1}, {"threshold": 1.5}, {"threshold": "0.5"}])
def test_evs_parameters(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="|".join(options)):
        selector("evs", n_keep=1, **options)


@pytest.mark.parametrize("exact_count", [True, False])
def test_pool(exact_count: bool) -> None:
    parity("pool", pool(exact_count), exact_count=exact_count)


@pytest.mark.parametrize("scope", ["video", "frame"])
def test_tome(scope: str) -> None:
    parity("tome", tome(scope), on=SMALL, scope=scope, exact_ties=False, max_excused=2)


def test_the_view_of_a_video_is_of_its_patches() -> None:
    case = next(case for case in CASES if case.newlines)
    kept = selector("pool", n_keep=4).select(case.tokens())
    assert set(kept.indices.tolist()) <= set(Video.of(case.tokens()).row_of.tolist())
