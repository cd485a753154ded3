"""What a selection costs: kept tokens, tokens in every layer, newlines in or out."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from feature_zoo import irregular, newline_per_row, separator_per_frame
from hypothesis import given, settings
from hypothesis import strategies as st

import stgraph
from stgraph import Budget, TokenGrid, VideoTokens
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens
from stgraph.errors import GridError, InputError
from stgraph.selection.accounting import TokenAccount, kept_for_mean
from stgraph.selection.budget import per_frame_counts

SHAPE = (4, 3, 5)


def tokens_with(kinds: Any) -> VideoTokens:
    kind = kinds(*SHAPE)
    x = synthetic_tokens(1, 1, kind.size, 8, seed=2).reshape(-1, 8)
    return synthetic_signals(VideoTokens(x, TokenGrid(*SHAPE, kind)))


def test_mean_over_layers_counts_every_layer_once() -> None:
    account = TokenAccount(n_visual=100, n_input=100, n_kept=30, prune_layer=2, n_layers=28)
    assert account.per_layer == [100] * 2 + [30] * 26
    assert account.mean_over_layers == pytest.approx(sum(account.per_layer) / 28)
    assert account.to_dict()["mean_layer_ratio"] == pytest.approx(account.mean_over_layers / 100)
    assert TokenAccount(100, 30, 30).mean_over_layers == 30


@settings(deadline=None)
@given(
    ratio=st.fractions(Fraction(1, 50), 1, max_denominator=50),
    n=st.integers(1, 5000),
    layers=st.integers(2, 60),
    at=st.integers(0, 8),
)
def test_kept_for_mean_is_the_least_that_reaches_the_mean(ratio: Fraction, n: int, layers: int, at: int) -> None:
    at = min(at, layers - 1)
    if ratio * layers <= at:
        with pytest.raises(InputError, match=f"pruning at layer {at}: the layers before alone cost"):
            kept_for_mean(ratio, n, at, layers)
        return
    kept = kept_for_mean(ratio, n, at, layers)
    assert 1 <= kept <= n
    assert n * at + kept * (layers - at) >= ratio * n * layers
    assert n * at + (kept - 1) * (layers - at) < ratio * n * layers


@settings(deadline=None)
@given(n_keep=st.integers(0, 2000), n_frames=st.integers(1, 300))
def test_frames_get_almost_the_same(n_keep: int, n_frames: int) -> None:
    counts = per_frame_counts(n_keep, n_frames)
    assert counts.sum() == n_keep
    assert counts.size == n_frames
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("ratio", [0.2, 0.3, 0.5, 1.0])
def test_a_method_that_prunes_inside_the_llm_can_be_measured_over_its_layers(ratio: float) -> None:
    tokens = synthetic_signals(VideoTokens.from_array(synthetic_tokens(*SHAPE, 8)))
    at_the_end = stgraph.selector("fastv", retain_ratio=ratio).select(tokens)
    on_average = stgraph.selector("fastv", retain_ratio=ratio, measured="layers").select(tokens)
    assert len(at_the_end) == math.ceil(round(60 * ratio, 9))
    assert at_the_end.account.n_input == 60
    assert at_the_end.account.mean_over_layers == pytest.approx((2 * 60 + 26 * len(at_the_end)) / 28)
    assert on_average.account.mean_over_layers == pytest.approx(60 * ratio, abs=1)
    assert len(on_average) <= len(at_the_end)


@pytest.mark.parametrize("name", ["evs", "random", "st-simdiff", "vidcom2"])
def test_newlines_count_where_asked(name: str) -> None:
    tokens = tokens_with(newline_per_row)  # 60 patches, 12 newlines
    out = stgraph.selector(name, retain_ratio=0.5, newlines="out").select(tokens)
    both = stgraph.selector(name, retain_ratio=0.5, newlines="in").select(tokens)
    assert (len(out), out.account.n_visual, out.account.newlines) == (30, 60, "out")
    assert (len(both), both.account.n_visual, both.account.newlines) == (36, 72, "in")
    kinds = tokens.grid.kind
    assert kinds is not None
    assert (kinds[out.indices] == 0).all()
    assert both.nodes.size == both.mask.sum() == np.count_nonzero(kinds[both.indices] == 0)
    np.testing.assert_array_equal(both.gather(tokens.features), tokens.features[both.indices])


def test_the_newline_column_is_the_next_column_of_the_lattice() -> None:
    tokens = tokens_with(newline_per_row)
    view = tokens.with_newline_column()
    assert view.grid.shape == (4, 3, 6)
    np.testing.assert_array_equal(view.lattice.reshape(-1, 8), tokens.features)
    assert tokens.signals.keys() - view.signals.keys() == {
        *("importance", "enc_cls_attn", "enc_features", "enc_keys_full", "enc_keys_mean", "enc_recv_attn"),
        *("pool_attn", "prumerge_cls_attn"),
    }
    with pytest.raises(InputError, match="fastervlm: the signal 'enc_cls_attn' has no value for newline tokens"):
        stgraph.selector("fastervlm", retain_ratio=0.5, newlines="in").select(tokens)
    assert stgraph.selector("fastv", retain_ratio=0.5, newlines="in").select(tokens).account.n_visual == 72


@pytest.mark.parametrize("kinds", [separator_per_frame, irregular])
def test_newlines_can_only_count_where_each_row_has_one(kinds: Any) -> None:
    tokens = tokens_with(kinds)
    with pytest.raises(GridError, match="needs a newline token after each of the 12 rows of grid 4x3x5; 0 rows have"):
        stgraph.selector("evs", retain_ratio=0.5, newlines="in").select(tokens)
    assert stgraph.selector("framefusion", retain_ratio=0.5).select(tokens).account.newlines == "out"


def test_a_budget_is_checked() -> None:
    with pytest.raises(InputError, match="measured is 'input'; it must be 'kept' or 'layers'"):
        Budget(0.3, measured="input")
    with pytest.raises(InputError, match="newlines is 'yes'; it must be 'in', 'out' or None"):
        Budget(0.3, newlines="yes")
    with pytest.raises(InputError, match=r"0\.05, measured over 28 layers, cannot be met by pruning at layer 2"):
        stgraph.selector("fastv", retain_ratio=0.05, measured="layers").count(TokenGrid(*SHAPE))


INSIDE = (
    *("fastv", "dart", "fitprune", "pyramiddrop", "sparsevlm"),
    *("prunevid-attention", "flashvid-attention", "holitom-attention"),
)


@pytest.mark.parametrize("ratio", [0.42, 0.6, 0.97])
@pytest.mark.parametrize("name", INSIDE)
def test_a_mean_over_the_layers_is_met_by_the_fewest_tokens(name: str, ratio: float) -> None:
    tokens = synthetic_signals(VideoTokens.from_array(synthetic_tokens(6, 5, 5, 12, seed=1)))
    chosen = stgraph.selector(name, retain_ratio=ratio, measured="layers")
    kept = chosen.select(tokens)
    assert len(kept) == chosen.count(tokens.grid)
    assert kept.account.mean_over_layers >= ratio * 150
    fewer = stgraph.selector(name, n_keep=len(kept) - 1).select(tokens)
    assert fewer.account.mean_over_layers < ratio * 150


def test_these_are_all_that_cut_inside() -> None:
    made = {name: stgraph.selector(name, n_keep=1) for name in stgraph.selectors()}
    inside = {name for name, one in made.items() if getattr(one, "prune_layer", 0)}
    assert inside - set(INSIDE) == {"framefusion-attention"}  # whose merges go on from layer to layer
    assert set(INSIDE) <= inside
