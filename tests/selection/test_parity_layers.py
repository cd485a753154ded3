"""Selectors that cut tokens in several layers of the LLM, beside their plain restatements."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from oracles_layers import fitprune, pyramiddrop
from parity_cases import CASES, parity

from stgraph import Budget, VideoTokens, selector
from stgraph.bench.synthetic import synthetic_signals
from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.rivals.fitprune import TABLE
from stgraph.selection.stages import Waiting

MODEST = [case for case in CASES if case.T * case.H * case.W < 700]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers": (8,), "ratios": (0.3,)},
        {"layers": (2, 24), "ratios": (0.9, 0.2)},
        {"layers": (1, 2, 8, 16, 24), "ratios": (1.0, 0.7, 0.7, 0.33, 0.1)},
    ],
)
def test_pyramiddrop(options: dict[str, Any]) -> None:
    assert parity("pyramiddrop", pyramiddrop(**options), **options).equal == len(CASES)


def test_pyramiddrop_accounts_for_every_layer() -> None:
    tokens = CASES[16].tokens()  # 8 x 8 x 8
    account = selector("pyramiddrop", n_keep=60).select(tokens).account
    assert account.per_layer == [512] * 8 + [240] * 8 + [120] * 8 + [60] * 4
    assert account.mean_over_layers == pytest.approx(sum(account.per_layer) / 28)


def test_pyramiddrop_measured_over_the_layers() -> None:
    for case in MODEST:
        tokens = case.tokens()
        n = tokens.grid.n_nodes
        for ratio in (0.3, 0.5, 0.8, 1.0):
            chosen = selector("pyramiddrop", retain_ratio=ratio, measured="layers")
            found = chosen.select(tokens)
            assert len(found) == chosen.count(tokens.grid)
            assert sum(found.account.per_layer) >= 28 * Fraction(str(ratio)) * n
            if len(found) > 1:
                fewer = selector("pyramiddrop", n_keep=len(found) - 1).select(tokens)
                assert sum(fewer.account.per_layer) < 28 * Fraction(str(ratio)) * n
    with pytest.raises(InputError, match=r"cutting from layer 8 on: the layers before alone cost 0.286"):
        selector("pyramiddrop", retain_ratio=0.2, measured="layers").select(tokens)


def test_pyramiddrop_in_a_running_model() -> None:
    """Each cut sees attention among what is left; with the same attention everywhere it is the dump's selection."""
    for case in MODEST[::4]:
        tokens = case.tokens()
        bare = VideoTokens(tokens.features, tokens.grid)
        chosen = selector("pyramiddrop", **case.limits())
        state = chosen.begin(bare, 1)
        waits = []
        while isinstance(state, Waiting):
            assert state.stage.attention is not None
            waits.append((state.stage.layer, state.rows))
            layer = tokens.signals["llm_attn_layers"].tolist().index(state.stage.attention.layer)
            attention = tokens.signals["llm_attn_last"][layer][tokens.signals["seq_index"]].astype(np.float64)
            if state.rows is not None:
                gone = np.ones(attention.size, np.bool_)
                gone[state.rows] = False
                attention[gone] = 0
            state = state.resume(attention)
        found = chosen.select(tokens)
        assert state.indices.tolist() == found.indices.tolist()
        assert state.account == found.account
        if len(found) < tokens.grid.n_nodes:
            assert [layer for layer, _ in waits] == [8, 16, 24]
            assert [None if rows is None else len(rows) for _, rows in waits] == [None, *found.report["left"][:2]]
            assert state.exactness == "exact"


def test_a_layer_that_was_not_saved() -> None:
    with pytest.raises(MissingSignalError, match="layer 31"):
        selector("pyramiddrop", n_keep=3, layers=(8, 24, 31), n_layers=40).select(CASES[0].tokens())
    with pytest.raises(MissingSignalError, match="'llm_attn_text_sum' and 'llm_attn_visual_mean' of decoder layer 30"):
        selector("fitprune", n_keep=3, deletions={8: 1, 30: 2}).select(CASES[0].tokens())


@pytest.mark.parametrize(
    "options",
    [
        {"layers": ()},
        {"layers": (8, 8, 16)},
        {"layers": (0, 8, 16)},
        {"layers": (8, 16, 28)},
        {"ratios": (0.5, 0.25)},
        {"ratios": (0.25, 0.5, 0.1)},
        {"ratios": (0.5, 0.25, 0.0)},
        {"layers": (1.5, 2, 3)},
    ],
)
def test_pyramiddrop_parameters(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        selector("pyramiddrop", n_keep=1, **options)


def test_the_budget_of_one_call() -> None:
    tokens = CASES[16].tokens()
    chosen = selector("pyramiddrop", retain_ratio=0.5)
    found = chosen.select(tokens, Budget(0.4, measured="layers"))
    assert len(found) == chosen.count(tokens.grid, Budget(0.4, measured="layers"))


@pytest.mark.parametrize("deletions", [None, {2: 1}, {0: 3, 5: 1, 6: 0, 28: 2}])
@pytest.mark.parametrize("exact_count", [True, False])
def test_fitprune(deletions: dict[int, int] | None, exact_count: bool) -> None:
    restate = fitprune(dict(deletions or TABLE), exact_count)
    found = parity("fitprune", restate, deletions=deletions, exact_count=exact_count)
    assert found.equal == len(CASES)


def test_the_table_of_fitprune() -> None:
    """Of 576 tokens in 32 layers, 60 % go by the mean over the layers, and 127 are left."""
    left, per_layer, behind = 576, [], []
    for layer in range(32):
        per_layer.append(left)
        left -= TABLE.get(layer, 0)
        behind.append(left)
    assert left == 127
    assert sum(behind) / 32 / 576 == pytest.approx(0.401, abs=0.0005)
    tokens = VideoTokens.from_array(np.random.default_rng(0).standard_normal((1, 24, 24, 4)).astype(np.float32))
    found = selector("fitprune", retain_ratio=0.4, exact_count=False).select(synthetic_signals(tokens))
    assert len(found) == 127
    assert found.account.per_layer == per_layer


def test_fitprune_measured_over_the_layers() -> None:
    """The authors' own meaning of a ratio; of their 576 tokens, the mean that their table has leaves as many as it."""
    for case in MODEST[::3]:
        tokens = case.tokens()
        n = tokens.grid.n_nodes
        for ratio in (0.3, 0.5, 0.9, 1.0):
            chosen = selector("fitprune", retain_ratio=ratio, measured="layers")
            found = chosen.select(tokens)
            assert len(found) == chosen.count(tokens.grid)
            assert sum(found.account.per_layer) >= 32 * Fraction(str(ratio)) * n
            if len(found) > 1:
                fewer = selector("fitprune", n_keep=len(found) - 1).select(tokens)
                assert sum(fewer.account.per_layer) < 32 * Fraction(str(ratio)) * n
    theirs = selector("fitprune", n_keep=127, deletions=TABLE)._cuts(576, 127)
    ends = [*(layer for layer, _ in theirs[1:]), 32]
    seen = 576 * theirs[0][0] + sum(left * (end - at) for (at, left), end in zip(theirs, ends, strict=True))
    tokens = VideoTokens.from_array(np.ones((1, 24, 24, 4), np.float32))
    assert selector("fitprune", retain_ratio=Fraction(seen, 32 * 576), measured="layers").count(tokens.grid) == 127
    with pytest.raises(InputError, match="measured over 32 layers, cannot be met by cutting from layer 1 on"):
        selector("fitprune", retain_ratio=0.03, measured="layers").select(synthetic_signals(tokens))


def test_fitprune_keeps_what_is_attended_to() -> None:
    """The tokens of largest product stay; UniPruneBench's port keeps those of smallest."""
    tokens = CASES[16].tokens()
    found = selector("fitprune", n_keep=100, deletions={2: 1}).select(tokens)
    at = tokens.signals["llm_attn_layers"].tolist().index(2)
    product = (tokens.signals["llm_attn_text_sum"][at] * tokens.signals["llm_attn_visual_mean"][at].astype(np.float64))[
        tokens.signals["seq_index"][tokens.grid.rows]
    ]
    kept = product[found.nodes]
    assert kept.min() >= np.delete(product, found.nodes).max()


@pytest.mark.parametrize(
    "options",
    [{"deletions": {}}, {"deletions": {1: 0}}, {"deletions": {1: -1}}, {"deletions": {31: 4}}, {"n_layers": 1}],
)
def test_fitprune_parameters(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        selector("fitprune", n_keep=1, **options)
