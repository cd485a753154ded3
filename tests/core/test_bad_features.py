"""One policy for features with NaN or Inf: every selector refuses them, wherever they lie and however much is kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import pytest
from feature_zoo import newline_per_row
from tensors import tensor

import stgraph
from stgraph import Budget, Selection, TokenGrid, VideoTokens
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens
from stgraph.errors import FeatureError
from stgraph.selection.base import SELECTORS
from stgraph.selection.method import Choice, Method
from stgraph.selection.reasons import SAMPLE
from stgraph.selection.rivals.evs import Evs
from stgraph.selection.rivals.random_tokens import Random

SHAPE = (3, 3, 4)
N = 36
DTYPES = (np.float32, np.float16, ml_dtypes.bfloat16)
BAD = (np.nan, np.inf, -np.inf)
NAMES = SELECTORS.names()
RATIOS = (0.1, 0.6, 1.0)


@cache
def good(dtype: Any = np.float32) -> VideoTokens:
    return synthetic_signals(VideoTokens.from_array(synthetic_tokens(*SHAPE, 12, seed=1).astype(dtype)))


def spoilt(bad: float, *nodes: int, channel: int = 5, dtype: Any = np.float32) -> VideoTokens:
    x = good(dtype).lattice.copy()
    x.reshape(N, -1)[list(nodes), channel] = bad
    return VideoTokens(x, good().grid, good().signals)


def configurations(name: str) -> list[dict[str, Any]]:
    """As published, and with the authors' own count where there is one."""
    own = "exact_count" in signature(SELECTORS.get(name)).parameters
    return [{}, {"exact_count": False}] if own else [{}]


@pytest.mark.parametrize("name", NAMES)
def test_any_bad_token_is_refused_at_any_ratio(name: str) -> None:
    for options in configurations(name):
        for ratio in RATIOS:
            chosen = stgraph.selector(name, retain_ratio=ratio, **options)
            chosen.select(good())
            for node in range(N):
                bad, dtype = BAD[node % 3], DTYPES[(node // 3) % 3]
                with pytest.raises(FeatureError, match=rf"NaN or Inf; the first bad token is {node} \("):
                    chosen.select(spoilt(bad, node, channel=node % 12, dtype=dtype))


@pytest.mark.parametrize("name", NAMES)
def test_of_several_the_first_is_named(name: str) -> None:
    for ratio in RATIOS:
        with pytest.raises(FeatureError, match=r"token is 17 \(frame 1, row 1, column 1\)"):
            stgraph.selector(name, retain_ratio=ratio).select(spoilt(np.inf, 35, 17, 20))


@pytest.mark.parametrize("name", NAMES)
def test_large_finite_features_are_not_mistaken_for_bad_ones(name: str) -> None:
    x = good().lattice * np.float32(1e25)  # squares beyond float32
    large = VideoTokens(x, good().grid, good().signals)
    for ratio in RATIOS:
        stgraph.selector(name, retain_ratio=ratio).select(large)


@pytest.mark.parametrize("newlines", ["in", "out"])
@pytest.mark.parametrize("name", ["random", "uniform", "st-simdiff", "evs"])
def test_newlines_count_where_they_are_tokens(name: str, newlines: str) -> None:
    kind = newline_per_row(*SHAPE)
    x = np.ones((kind.size, 12), np.float32)
    x[np.flatnonzero(kind)[2]] = np.nan
    tokens = VideoTokens(x, TokenGrid(*SHAPE, kind))
    for ratio in RATIOS:
        chosen = stgraph.selector(name, retain_ratio=ratio, newlines=newlines)
        if newlines == "out":
            assert np.isfinite(chosen.select(tokens).gather(tokens.features)).all()
            continue
        with pytest.raises(FeatureError, match="NaN or Inf"):
            chosen.select(tokens)


@pytest.mark.parametrize("name", ["random", "dets", "evs", "st-simdiff"])
def test_on_a_gpu(name: str, interpreter: Any) -> None:
    for node in (0, 17, 35):
        tokens = spoilt(np.inf, node)
        there = VideoTokens(tensor(tokens.lattice), tokens.grid)
        for ratio in RATIOS:
            with pytest.raises(FeatureError, match=rf"first bad token is {node} \("):
                stgraph.selector(name, retain_ratio=ratio).select(there)


# ---- selectors of third parties ----


def first(n: int) -> Choice:
    return Choice(np.arange(n), SAMPLE, np.ones(n))


@dataclass(frozen=True, kw_only=True)
class Theirs(Method):
    """On the base class, reading nothing."""

    name: ClassVar[str] = "theirs"
    paper: ClassVar[str] = "none"

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        return first(n_keep)


@dataclass(frozen=True, kw_only=True)
class OnOurs(Evs):
    """On a class of ours that checks features in the method they replace."""

    name: ClassVar[str] = "theirs"

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        return first(n_keep)


class Apart:
    """A class of its own."""

    name = "theirs"
    requires: frozenset[str] = frozenset()

    def __init__(self, *, budget: Budget) -> None:
        self.budget = budget

    def count(self, grid: TokenGrid, budget: Budget | None = None) -> int | None:
        return (budget or self.budget).count(grid)

    def select(self, tokens: VideoTokens, budget: Budget | None = None) -> Selection:
        return Random(budget=budget or self.budget).select(good(), budget)


@pytest.mark.parametrize("theirs", [Theirs, OnOurs, Apart])
def test_selectors_of_third_parties(theirs: Any) -> None:
    SELECTORS.register("theirs", theirs)
    try:
        for ratio in RATIOS:
            chosen = stgraph.selector("theirs", retain_ratio=ratio)
            chosen.select(good())
            with pytest.raises(FeatureError, match=r"first bad token is 35 \("):
                chosen.select(spoilt(np.nan, 35))
    finally:
        SELECTORS.unregister("theirs")
