"""LLaVA-Scissor and STTM beside their restatements."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from oracles_merging import scissor, sttm
from parity_cases import CASES, Case, parity

pytestmark = pytest.mark.slow


def once(case: Case) -> tuple[Any, ...]:
    """What a method sees that has no budget."""
    return case.kind, case.T, case.H, case.W, case.d, case.dtype


VIDEOS = list({once(case): case for case in CASES if case.T * case.H * case.W < 700}.values())
SMALL = [case for case in VIDEOS if case.T * case.H * case.W <= 300 and case.kind != "identical"]


def test_scissor() -> None:
    on = [case for case in CASES if case.T * case.H * case.W < 1000]
    assert len(on) > 50
    assert parity("llava-scissor", scissor, on=on).equal == len(on)


def test_scissor_by_its_threshold() -> None:
    assert len(VIDEOS) > 45
    outcome = parity("llava-scissor", partial(scissor, exact_count=False), on=VIDEOS, exact_count=False)
    assert outcome.equal == len(VIDEOS)


@pytest.mark.parametrize(("tau", "exact_count"), [(0.5, True), (0.8, False), (0.98, True)])
def test_scissor_thresholds(tau: float, exact_count: bool) -> None:
    restate = partial(scissor, tau=tau, exact_count=exact_count)
    parity("llava-scissor", restate, on=SMALL, tau=tau, exact_count=exact_count)


def test_sttm() -> None:
    assert parity("sttm", sttm).equal == len(CASES)


def test_sttm_by_its_thresholds() -> None:
    outcome = parity("sttm", partial(sttm, exact_count=False), on=VIDEOS, exact_count=False)
    assert outcome.equal == len(VIDEOS)


@pytest.mark.parametrize(
    "parameters",
    [{"tau_s": 0.55, "tau_t": 0.91}, {"tau_s": 0.95, "tau_t": 0.8}, {"root_level": 0}, {"root_level": 2, "tau_t": 0.7}],
)
def test_sttm_parameters(parameters: dict[str, Any]) -> None:
    for exact_count in (True, False):
        values = {**parameters, "exact_count": exact_count}
        parity("sttm", partial(sttm, **values), on=SMALL, **values)
