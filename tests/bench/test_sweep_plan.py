"""The plan of a sweep: exact ranges, every name and number checked, nothing swept that changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from stgraph.bench.sweep_plan import SweepPlan, number_range
from stgraph.errors import BackendUnavailableError, InputError, UnknownNameError
from stgraph.selection.st_simdiff.presets import ABLATION

# Ranges


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.6:0.95:0.05", (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)),
        ("0.1:0.7:0.1", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
        ("0.6:0.9:0.25", (0.6, 0.85)),
        ("-0.2:0.1:0.1", (-0.2, -0.1, 0.0, 0.1)),
        ("0:3:1", (0.0, 1.0, 2.0, 3.0)),
        ("0.5:0.5:0.1", (0.5,)),
        (" 0.80 ", (0.8,)),
    ],
)
def test_ranges_are_exact(text: str, numbers: tuple[float, ...]) -> None:
    assert number_range("x", text) == numbers


@pytest.mark.parametrize("text", ["", "half", "0.1:0.5", "0:1:2:3", "a:1:0.1", "0:inf:1", "nan:1:1", "0::1"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(InputError, match=f"tau_sim is '{text}'; give a number, or a range start:stop:step like"):
        number_range("tau_sim", text)


@pytest.mark.parametrize("text", ["0:1:0", "0:1:-0.1", "1:0:0.1"])
def test_ranges_that_do_not_go_up(text: str) -> None:
    with pytest.raises(InputError, match="by a step above 0"):
        number_range("x", text)


def test_a_range_has_an_end() -> None:
    assert len(number_range("x", "1:10000:1")) == 10_000
    with pytest.raises(InputError, match="more than 10,000 numbers; take a larger step"):
        number_range("x", "0:1:1e-30")


# Plans


@pytest.mark.parametrize(
    ("plan", "error", "message"),
    [
        ({"tau_sims": (0.8, 2)}, InputError, "tau_sim is 2; a cosine"),
        ({"tau_diffs": ("p101",)}, InputError, "tau_diff is 'p101'"),
        ({"retain_ratios": (0,)}, InputError, "retain_ratio is 0"),
        ({"retain_ratios": ()}, InputError, "retain_ratios is empty; give at least one"),
        ({"backends": ("lattice",)}, UnknownNameError, "no community backend 'lattice'"),
        ({"backends": ("auto",)}, UnknownNameError, "no community backend 'auto'"),
        ({"splits": ("rastr",)}, UnknownNameError, "no splitter 'rastr'"),
        ({"splits": ("native",)}, InputError, "has no cap of its own"),
        ({"seeds": (-1,)}, InputError, "seed is -1"),
        ({"presets": ("fll",)}, UnknownNameError, "no preset 'fll'. Known: attention-only, "),
        ({"importance": "novelty"}, InputError, "importance is 'novelty'; it must be one of"),
        ({"options": {"max_size": 0}}, InputError, "max_size is 0"),
        ({"options": {"resolution": -1.0}}, InputError, "resolution is -1"),
        ({"options": {"right": False}}, InputError, "a sweep has no parameter 'right'; it has: max_size, resolution, "),
        ({"backends": ("igraph-leiden",), "tau_sims": (-0.1,)}, InputError, "igraph-leiden needs positive edge"),
    ],
)
def test_a_wrong_plan_is_never_made(plan: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SweepPlan(**plan)


def test_a_backend_that_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from stgraph.community.backend_igraph import IGRAPH_LEIDEN

    monkeypatch.setattr(type(IGRAPH_LEIDEN), "unavailable", lambda self: "no igraph")
    with pytest.raises(BackendUnavailableError, match=r"igraph-leiden cannot run here: no igraph\. Available: l"):
        SweepPlan(backends=("igraph-leiden",))


def test_a_value_named_twice_counts_once() -> None:
    plan = SweepPlan(tau_sims=(0.8, 0.80), tau_diffs=("p95", "p95.0", 0.2), seeds=(0, 0), retain_ratios=(0.3, 0.3))
    assert plan.tau_diffs == ("p95", 0.2)
    assert len(list(plan.points())) == 2


def test_the_default_grid() -> None:
    points = list(SweepPlan().points())
    assert len(points) == len(set(map(repr, points))) == 8 * 4 * 2
    assert {(p.setting.get("backend"), p.setting.get("split"), p.preset) for p in points} == {
        ("lattice-components", "tree", "full")
    }


def test_values_that_play_no_part_are_not_swept() -> None:
    plan = SweepPlan(
        tau_sims=(0.7, 0.8, 0.85),
        tau_diffs=(0.2, "p90"),
        presets=tuple(ABLATION),
        importance="auto",
        backends=("igraph-leiden", "scipy-components"),
        seeds=(0, 5),
    )
    points = list(plan.points())
    assert len(points) == len(set(map(repr, points))) == 3 * 2 * (1 + 3 * 3 + 3 * 2)
    for p in points:
        assert (p.tau_sim is None) == (p.preset == "attention-only")
        assert (p.tau_diff is None) == (p.preset != "full")
        assert (p.setting.seed is None) == (p.setting.get("backend") == "scipy-components")
