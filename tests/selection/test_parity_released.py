"""ST-SimDiff as published and FrameFusion, beside their plain restatements."""

from __future__ import annotations

from typing import Any

import pytest
from oracles_released import framefusion, framefusion_attention, released
from parity_cases import CASES, parity

SMALL = [case for case in CASES if case.T * case.H * case.W <= 800]


@pytest.mark.parametrize("options", [{}, {"tau_sim": 0.5, "tau_diff": 0.6}, {"tau_sim": 0.95, "tau_diff": 0.9}])
@pytest.mark.parametrize("reduce", [True, False])
def test_st_simdiff_released(options: dict[str, Any], reduce: bool) -> None:
    parity(
        "st-simdiff-released",
        released(reduce=reduce, **options),
        on=SMALL,
        newlines_in=True,
        fits_budget=False,
        exact_ties=False,
        max_excused=2,
        importance="attention",
        reduce=reduce,
        **options,
    )


def test_framefusion() -> None:
    parity("framefusion", framefusion(), newlines_in=True, max_excused=2)


@pytest.mark.parametrize("tau", [0.6, 0.9, 0.2])
def test_framefusion_with_its_own_count(tau: float) -> None:
    parity("framefusion", framefusion(False, tau), newlines_in=True, max_excused=2, exact_count=False, tau=tau)


@pytest.mark.parametrize("tau", [0.6, 0.9, 0.2])
def test_framefusion_attention(tau: float) -> None:
    parity("framefusion-attention", framefusion_attention(tau), newlines_in=True, max_excused=2, tau=tau)


def test_framefusion_without_newlines() -> None:
    """Where newlines are no tokens, the attention is the dump's ``importance``."""
    few = [case for case in CASES if case.newlines]
    parity("framefusion", framefusion(), on=few, newlines="out", max_excused=1)
    parity("framefusion-attention", framefusion_attention(), on=few, newlines="out", max_excused=1)
    parity(
        "st-simdiff-released",
        released(),
        on=[case for case in SMALL if case.newlines],
        fits_budget=False,
        exact_ties=False,
        max_excused=1,
        newlines="out",
    )


def test_another_threshold_is_noticed() -> None:
    with pytest.raises(AssertionError, match="differ"):
        parity("framefusion", framefusion(False, 0.6), newlines_in=True, exact_count=False, tau=0.5)
    with pytest.raises(AssertionError, match="differ"):
        parity("st-simdiff-released", released(), on=SMALL, newlines_in=True, fits_budget=False, tau_diff=0.1)
