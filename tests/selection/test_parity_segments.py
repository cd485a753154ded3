"""HoliTom and FastVID beside their restatements."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from oracles_segments import fastvid, holitom
from parity_cases import CASES, cases, parity

pytestmark = pytest.mark.slow

MODEST = [case for case in CASES if case.T * case.H * case.W < 700]
MOVING = [case for case in cases("scenes", "random", "cut", "signs") if 1 < case.T < 64 and case.H < 13]


@pytest.mark.parametrize("exact_count", [True, False])
def test_holitom(exact_count: bool) -> None:
    on = CASES if exact_count else MODEST
    restate = partial(holitom, exact_count=exact_count)
    assert parity("holitom", restate, on=on, exact_count=exact_count).equal == len(on)


@pytest.mark.parametrize("parameters", [{"tau": 0.5}, {"tau": 0.65, "beta": 0.9}, {"tau": 0.93, "beta": 0.0}])
def test_holitom_parameters(parameters: dict[str, Any]) -> None:
    values = {**parameters, "exact_count": False}
    parity("holitom", partial(holitom, **values), on=MOVING, **values)


def test_fastvid() -> None:
    assert parity("fastvid", fastvid).equal == len(CASES)


def test_fastvid_by_the_authors_count() -> None:
    some = [case for case in MODEST if int(case.H * case.W * case.ratio(case.T * case.H * case.W)) > 0]
    assert len(some) > 45
    assert parity("fastvid", partial(fastvid, exact_count=False), on=some, exact_count=False).equal == len(some)


@pytest.mark.parametrize(
    "parameters",
    [
        {"tau": 0.0, "segments": 2},
        {"tau": 0.5, "segments": 1, "context": 0.8},
        {"anchor_step": 2, "segments": 3, "tau": 0.2, "beta": 0.1},
        {"context": 1.0, "segments": 4, "anchor_step": 1},
        {"context": 0.0},
    ],
)
def test_fastvid_parameters(parameters: dict[str, Any]) -> None:
    parity("fastvid", partial(fastvid, **parameters), on=MOVING, max_excused=1, **parameters)
