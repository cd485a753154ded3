"""How many tokens: exact for the decimal that was written, and clear about what is no budget."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph import Budget, TokenGrid, VideoTokens, selector
from stgraph.errors import InputError, UnknownNameError
from stgraph.selection.budget import ceil_share, exact_ratio

PATH = TokenGrid(10, 1, 1)


@pytest.mark.parametrize(
    ("ratio", "exact"),
    [
        (0.3, Fraction(3, 10)),
        (0.07, Fraction(7, 100)),
        (1e-9, Fraction(1, 10**9)),
        (1, Fraction(1)),
        (1.0, Fraction(1)),
        (Fraction(1, 3), Fraction(1, 3)),
        (Decimal("0.15"), Fraction(3, 20)),
        (np.float64(0.1), Fraction(1, 10)),
        (np.float32(0.3), Fraction(3, 10)),
        (np.float16(0.7), Fraction(7, 10)),
        (np.int64(1), Fraction(1)),
    ],
)
def test_a_ratio_is_the_decimal_it_was_written_as(ratio: Any, exact: Fraction) -> None:
    assert exact_ratio(ratio) == exact


@settings(deadline=None)
@given(n=st.integers(1, 10**7), digits=st.integers(1, 10**4))
def test_ceil_is_exact_for_decimals(n: int, digits: int) -> None:
    # Whole numbers only: ceil(n * digits / 10^4) without any fraction in between.
    expected = (n * digits + 9999) // 10**4
    for ratio in (digits / 10**4, np.float64(digits / 10**4), Decimal(digits) / 10**4, Fraction(digits, 10**4)):
        assert ceil_share(np.array([n]), exact_ratio(ratio)).tolist() == [expected]


@pytest.mark.parametrize(
    ("n", "ratio", "kept"), [(10, 0.3, 3), (100, 0.07, 7), (10, 0.1, 1), (3, 1 / 3, 1), (1, 1e-9, 1)]
)
def test_ceil_is_immune_to_float_noise(n: int, ratio: float, kept: int) -> None:
    assert Budget(ratio).count(TokenGrid(n, 1, 1)) == kept


def test_ceil_share_takes_many_counts_at_once() -> None:
    counts = np.array([1, 10, 0, 10, 7])
    shares = ceil_share(counts, Fraction(3, 10))
    assert shares.dtype == np.int64
    assert shares.tolist() == [1, 3, 0, 3, 3]
    assert ceil_share(counts[:0], Fraction(1, 2)).tolist() == []


@settings(deadline=None)
@given(n=st.integers(1, 10**6), data=st.data())
def test_a_number_of_tokens_is_a_ratio_too(n: int, data: st.DataObject) -> None:
    budget = Budget(n_keep=data.draw(st.integers(1, n)))
    grid = TokenGrid(n, 1, 1)
    assert budget.count(grid) == budget.n_keep
    assert Budget(budget.ratio(grid)).count(grid) == budget.n_keep


@pytest.mark.parametrize(
    "ratio",
    [0, -0.5, 1.0001, 2, float("nan"), float("inf"), True, "0.3", [0.3], None, 1 + 2j, Decimal("nan"), Decimal("inf")],
)
def test_what_is_no_ratio(ratio: Any) -> None:
    with pytest.raises(InputError, match=r"retain_ratio is .*; it must (be a number|lie) in \(0, 1\]"):
        exact_ratio(ratio)


@pytest.mark.parametrize("n_keep", [0, -1, 2.0, "3", True, float("nan")])
def test_what_is_no_number_of_tokens(n_keep: Any) -> None:
    with pytest.raises(InputError, match=r"n_keep is .*; it must be an integer of at least 1"):
        Budget(n_keep=n_keep)


def test_one_budget_is_given() -> None:
    with pytest.raises(InputError, match="budget got retain_ratio=None and n_keep=None; give exactly one"):
        Budget()
    with pytest.raises(InputError, match=r"budget got retain_ratio=0\.3 and n_keep=5; give exactly one"):
        selector("st-simdiff", retain_ratio=0.3, n_keep=5)


def test_no_more_than_there_are() -> None:
    with pytest.raises(InputError, match="n_keep is 11 but grid 10x1x1 has 10 tokens"):
        Budget(n_keep=11).count(PATH)
    assert Budget(n_keep=np.int64(10)).count(PATH) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau_sim": 1.5}, "tau_sim is 1.5; a cosine similarity threshold lies in"),
        ({"tau_sim": float("nan")}, "tau_sim is nan; a cosine similarity threshold lies in"),
        ({"tau_sim": "high"}, "tau_sim is 'high'; it must be a number in"),
        ({"tau_sim": True}, "tau_sim is True; it must be a number in"),
        ({"tau_diff": -1.1}, "tau_diff is -1.1; a cosine similarity threshold lies in"),
        ({"tau_diff": "p101"}, "tau_diff is 'p101'; it must be a number in .* or a percentile like 'p95'"),
        ({"tau_diff": "p-1"}, "tau_diff is 'p-1'; it must be"),
        ({"tau_diff": "pnan"}, "tau_diff is 'pnan'; it must be"),
        ({"tau_diff": "95"}, "tau_diff is '95'; it must be"),
        ({"tau_diff": "p"}, "tau_diff is 'p'; it must be"),
        ({"tau_diff": None}, "tau_diff is None; it must be"),
        (
            {"backend_options": 3},
            r"backend_options is 3; it must map names to numbers, .* -p backend_options\.n_iterations=5",
        ),
        ({"backend_options": None}, "backend_options is None; it must map names to numbers"),
        ({"max_size": 0}, "max_size is 0; it must be 'sqrt', a positive integer or None"),
        ({"importance": "novelty"}, "importance is 'novelty'; it must be one of auto, auto-coverage, .*, or an array"),
        ({"importance": None}, "importance is None; it must be one of auto"),
        ({"backend": "igraph-leyden"}, "Did you mean 'igraph-leiden'"),
        ({"split": "trees"}, "Did you mean 'tree'"),
        ({"resolution": -1}, "resolution is -1; it must be a positive number"),
        ({"seed": -1}, "seed is -1; it must be an integer"),
        ({"tau": 0.8}, "selector 'st-simdiff' has no parameter 'tau'; it has: tau_sim, tau_diff, backend, "),
        ({"budget": 3}, "selector 'st-simdiff' has no parameter 'budget'"),
    ],
)
def test_parameters_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        selector("st-simdiff", retain_ratio=0.3, **options)


def test_an_unknown_selector_is_told_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no selector 'st-simdif'\. Did you mean 'st-simdiff'\? Known: st-simdiff"
    ):
        selector("st-simdif", retain_ratio=0.3)


@pytest.mark.parametrize(
    ("importance", "message"),
    [
        (np.zeros((2, 2)), r"importance has shape \(2, 2\); expected \[2, 2, 2\] or \[8\]"),
        (np.array([0, 1, np.nan, 3, 4, 5, 6, 7]), "importance is NaN at token 2; replace it"),
    ],
)
def test_an_array_of_importance_fits_the_video(importance: Any, message: str) -> None:
    tokens = VideoTokens.from_array(np.ones((2, 2, 2, 3), np.float32))
    with pytest.raises(InputError, match=message):
        selector("st-simdiff", retain_ratio=0.5, importance=importance).select(tokens)
