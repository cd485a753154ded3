"""What rows of a task come to: accuracy, paired differences, failures, and the table a terminal shows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from terminal_tables import ELLIPSIS, cells, render

from stgraph.bench.answers.summary import by_family, summarise
from stgraph.bench.intervals import accuracy_by_video, paired_difference
from stgraph.bench.tables.experiments import ANSWERS
from stgraph.viz.terminal.answers import task_tables

Row = dict[str, Any]

N_VIDEOS, N_QUESTIONS = 30, 4
VIDEOS = np.repeat([f"{i}.mp4" for i in range(N_VIDEOS)], N_QUESTIONS)


def rows_of(selector: str, correct: Any, **more: Any) -> list[Row]:
    """A row for each question on each video, with 4 or 5 options by turns."""
    return [
        {
            **dict.fromkeys(ANSWERS.columns),
            "digest": str(i),
            "id": str(i),
            "video": str(VIDEOS[i]),
            "family": ("colour", "turn")[i % 2],
            "selector": selector,
            "frames": 64,
            "n_options": 4 + i % 2,
            "correct": bool(right),
            "n_visual": 1000,
            "n_kept": 1000,
            "p_letters": 0.9,
            "total_s": 0.5,
            **more,
        }
        for i, right in enumerate(correct)
    ]


@pytest.fixture
def answers() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    full = rng.random(N_VIDEOS * N_QUESTIONS) < np.repeat(rng.beta(3, 2, N_VIDEOS), N_QUESTIONS)
    return {"full": full, "evs": full & (rng.random(full.size) < 0.8)}


@pytest.fixture
def rows(answers: dict[str, Any]) -> list[Row]:
    kept = {"n_kept": 300, "retain_ratio": 0.3, "parameters": "{}"}
    return rows_of("evs", answers["evs"], **kept) + rows_of("full", answers["full"], prefill_tflop=97.25)


def test_figures(rows: list[Row], answers: dict[str, Any]) -> None:
    evs, full = summarise(rows, seed=4)
    assert (full["n_questions"], full["n_videos"], full["n_failed"]) == (120, 30, 0)
    assert (full["accuracy"], full["low"], full["high"]) == accuracy_by_video(answers["full"], VIDEOS, seed=4)
    expected = paired_difference(answers["evs"], answers["full"], VIDEOS, seed=4)
    assert (evs["difference"], evs["difference_low"], evs["difference_high"]) == expected
    assert evs["against"] == "full"
    assert full["against"] is full["difference"] is None
    assert full["chance"] == pytest.approx((1 / 4 + 1 / 5) / 2)
    assert (evs["n_kept"], evs["n_visual"], evs["total_s"], evs["select_s"]) == (300, 1000, 0.5, None)


def test_failures_are_left_out_and_pairs_stay_pairs(rows: list[Row], answers: dict[str, Any]) -> None:
    for row in rows[:7]:  # of evs
        row.update(correct=None, error="InputError: unreadable", n_kept=None)
    evs, full = summarise(rows)
    assert (evs["n_questions"], evs["n_failed"], full["n_questions"]) == (113, 7, 120)
    assert evs["difference"] == paired_difference(answers["evs"][7:], answers["full"][7:], VIDEOS[7:]).mean
    none = [{**row, "correct": None, "error": "x"} for row in rows if row["selector"] == "full"]
    (alone,) = summarise(none)
    assert (alone["n_failed"], alone["accuracy"], alone["chance"]) == (120, None, None)
    assert "Failed and left out: full 120 questions." in render(task_tables([alone]), 100)
    assert "Failed and left out: evs 7 questions." in render(task_tables([evs, full]), 100)


def test_without_full_the_first_is_compared_with(rows: list[Row]) -> None:
    evs = [row for row in rows if row["selector"] == "evs"]
    other = [{**row, "retain_ratio": 0.5} for row in evs]
    first, second = summarise(evs + other)
    assert first["against"] is None
    assert (second["against"], second["difference"], second["difference_low"]) == ("evs", 0.0, 0.0)


def test_families(rows: list[Row], answers: dict[str, Any]) -> None:
    found = by_family(rows)
    assert [(row["family"], row["selector"]) for row in found] == [
        ("colour", "evs"),
        ("colour", "full"),
        ("turn", "evs"),
        ("turn", "full"),
    ]
    assert found[3]["accuracy"] == pytest.approx(answers["full"][1::2].mean())
    assert found[3]["chance"] == 1 / 5
    assert by_family([{**row, "family": None} for row in rows]) == []


def test_one_video_has_no_interval() -> None:
    (row,) = summarise(rows_of("full", [1, 0, 1, 0]))
    assert (row["accuracy"], row["low"], row["high"]) == (0.5, None, None)
    text = " ".join(render(task_tables([row]), 80).split())
    assert "One video says nothing of others" in text
    assert "nan" not in text


@pytest.mark.parametrize("width", [80, 110])
def test_table(rows: list[Row], width: int) -> None:
    several = rows + [
        {**row, "selector": "st-simdiff", "backend": backend, "split": "tree"}
        for backend in ("lattice-components", "igraph-leiden")
        for row in rows[:120]
    ]
    summary = summarise(several)
    text = render(task_tables(summary, by_family(several)), width)
    assert ELLIPSIS not in text
    assert max(map(len, text.splitlines())) <= width
    full = next(row for row in summary if row["selector"] == "full")
    (shown, _, _) = (cells(text, "full")[0].split(), *cells(text, "full")[1:])
    assert shown[0] == f"{100 * full['accuracy']:.1f}"
    assert shown[1] == f"{100 * full['low']:.1f}..{100 * full['high']:.1f}"
    assert shown[2:] == ["1,000", "97.2", "500"]
    evs = cells(text, "evs")[0].split()
    assert evs[0] == "0.3"
    assert evs[3].startswith("-")
    assert math.isclose(float(evs[3]), 100 * summary[0]["difference"], abs_tol=0.05)
    plain = " ".join(text.split())
    assert "120 questions on 30 videos, 22.5 by chance" in plain
    assert "Accuracy by family of questions" in plain
    assert "fewer than 20 videos" not in plain
    assert "igraph-leiden" in "".join(text.split())


def test_a_model_that_does_not_answer_by_letters(rows: list[Row]) -> None:
    sure = render(task_tables(summarise(rows)), 120)
    unsure = render(task_tables(summarise([{**row, "p_letters": 0.12} for row in rows])), 120)
    assert "say something else" not in sure
    assert "have 12.0 % of the probability" in unsure
