"""Contrasts pair what differs in one choice and nothing else, question by question."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stgraph.bench.intervals import paired_difference
from stgraph.bench.probe.contrasts import against, contrast
from stgraph.bench.probe.questions import ORDER
from stgraph.bench.probe.rows import PROBE, pack
from stgraph.bench.probe.weights import asked_families

V, Q = 60, sum(family in asked_families() for family in ORDER)


def row(answers: Any, **values: Any) -> dict[str, Any]:
    fixed = {"selector": "st-simdiff", "backend": "lattice-components", "model": "a", "retain_ratio": 0.3}
    return {
        **dict.fromkeys(PROBE.columns),
        **fixed,
        "n_videos": V,
        "n_questions": V * Q,
        "answers": pack(answers),
        **values,
    }


@pytest.fixture
def answers() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).random((4, V, Q)) < np.array([0.9, 0.6, 0.8, 0.5])[:, None, None]


def test_contrast_is_the_paired_difference_pooled_over_models(answers: np.ndarray[Any, Any]) -> None:
    rows = [
        row(answers[0], backend="igraph-leiden"),
        row(answers[1]),
        row(answers[2], backend="igraph-leiden", model="b"),
        row(answers[3], model="b"),
        row(answers[3], retain_ratio=0.5),  # has no counterpart
        row(answers[0], backend="igraph-leiden", split="raster"),  # differs in two choices
    ]
    found = contrast(rows, "backend", "igraph-leiden", "lattice-components")
    assert [entry["family"] for entry in found] == ["all", *dict.fromkeys(f for f in ORDER if f in asked_families())]
    expected = paired_difference(
        np.stack([answers[0], answers[2]], 1).astype(float), np.stack([answers[1], answers[3]], 1).astype(float)
    )
    whole = found[0]
    assert (whole["difference"], whole["low"], whole["high"]) == pytest.approx(tuple(expected))
    assert whole["n_models"] == 2 and (whole["a"], whole["b"]) == ("igraph-leiden", "lattice-components")
    assert whole["low"] > 0.2 and whole["backend"] is None and whole["retain_ratio"] == 0.3


def test_families_are_their_own_columns(answers: np.ndarray[Any, Any]) -> None:
    named = np.array([family for family in ORDER if family in asked_families()])
    worse = answers[0] & (named != "evt")
    found = contrast([row(answers[0], events=True), row(worse, events=False)], "events", True, False)
    by_family = {entry["family"]: entry["difference"] for entry in found}
    assert by_family.pop("evt") == pytest.approx(answers[0][:, named == "evt"].mean())
    assert by_family.pop("all") > 0 and set(by_family.values()) == {0.0}


def test_against_takes_the_same_ratio_and_the_one_ratio_of_references(answers: np.ndarray[Any, Any]) -> None:
    rows = [
        row(answers[0]),
        row(answers[0], retain_ratio=0.5),
        row(answers[1], selector="random", backend=None),
        row(answers[2], selector="full", backend=None, retain_ratio=1.0),
    ]
    random = against(rows, "random")
    assert {entry["family"] for entry in random} == {"all"}
    assert [entry["retain_ratio"] for entry in random] == [0.3]
    assert sorted((entry["a"], entry["retain_ratio"]) for entry in against(rows, "full")) == [
        ("random", 0.3),
        ("st-simdiff", 0.3),
        ("st-simdiff", 0.5),
    ]
    assert against(rows, "uniform") == []
