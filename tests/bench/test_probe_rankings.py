"""The offline ranking: the rule, and that the default is what the rule gives on the rows in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import clip

pytest.importorskip("torch", reason="needs torch: the probe trains and runs a model")

from stgraph.bench.intervals import difference_p_value
from stgraph.bench.probe.rankings import CANDIDATE, FORMER, chosen_ranking, fidelity_rows, ranking_settings
from stgraph.bench.probe.rows import ProbeRows, unpack
from stgraph.bench.tables.reading import read_tables
from stgraph.selection.st_simdiff.importance import OFFLINE

STUDY = Path(__file__).parents[2] / "bench" / "results" / "study"
DEFAULT = {"backend": "lattice-components", "tau_sim": 0.8}
Rows = list[dict[str, Any]]


def read(name: str) -> Rows:
    return [dict(row) for row in read_tables(STUDY / f"{name}.csv")["rows"]]


def difference(points: float, p: float, **other: Any) -> dict[str, Any]:
    return {**DEFAULT, "difference": points, "p": p, **other}


def fidelity(candidate: float, **other: Any) -> Rows:
    row = {**DEFAULT, "features": "dropped-1", "retain_ratio": 0.3, **other}
    means = {FORMER: 0.8, CANDIDATE: candidate}
    return [{**row, "importance": name, "fidelity_mean": mean} for name, mean in means.items()]


@pytest.mark.parametrize(
    ("contrasts", "means", "chosen"),
    [
        ([difference(3, 0.001), difference(-1, 0.5)], fidelity(0.9), CANDIDATE),
        ([difference(3, 0.001), difference(-1, 0.001, backend="igraph-leiden")], fidelity(0.9), FORMER),
        ([difference(3, 0.04), difference(-1, 0.5)], fidelity(0.9), FORMER),  # 0.04 is chance among two
        ([difference(3, 0.001, tau_sim=0.9), difference(-1, 0.5)], fidelity(0.9), FORMER),
        ([difference(3, 0.001)], fidelity(0.7), FORMER),
        ([difference(3, 0.001)], [*fidelity(0.9), *fidelity(0.7, retain_ratio=0.1)], FORMER),
        ([difference(3, 0.001)], [*fidelity(0.9), *fidelity(0.7, features="sample")], CANDIDATE),
        ([difference(3, 0.001)], [*fidelity(0.9), *fidelity(0.7, tau_sim=0.9)], CANDIDATE),
    ],
)
def test_the_rule(contrasts: Rows, means: Rows, chosen: str) -> None:
    assert chosen_ranking(contrasts, means) == chosen


def test_the_default_is_what_the_rule_gives() -> None:
    contrasts = read("ranking-contrasts")
    assert len(contrasts) == len(list(ranking_settings())) // 2 * 5
    assert chosen_ranking(contrasts, read("ranking-fidelity")) == OFFLINE["auto"]


def test_the_differences_are_those_of_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgraph.__version__", read("rankings-dev")[0]["stgraph"])
    rows = ProbeRows(STUDY / "rankings-dev.csv").all()
    assert {row["videos"] for row in rows} == {"dev"}
    (shown,) = (
        row
        for row in read("ranking-contrasts")
        if (row["backend"], row["tau_sim"], row["retain_ratio"]) == ("lattice-leiden", 0.9, 0.05)
    )
    here = [
        row for row in rows if (row["backend"], row["tau_sim"], row["retain_ratio"]) == ("lattice-leiden", 0.9, 0.05)
    ]
    a, b = (
        np.stack([unpack(row) for row in here if row["importance"] == name], 1).astype(float)
        for name in (CANDIDATE, FORMER)
    )
    assert shown["difference"] == pytest.approx(a.mean() - b.mean())
    assert shown["p"] == pytest.approx(difference_p_value(a, b))


def test_fidelity_rows_are_means_over_videos() -> None:
    videos = [clip(seed=seed) for seed in (1, 2)]
    both, apart = fidelity_rows("clips", videos), [fidelity_rows("clips", [one]) for one in videos]
    for mean, first, second in zip(both, *apart, strict=True):
        assert mean["fidelity_mean"] == pytest.approx((first["fidelity_mean"] + second["fidelity_mean"]) / 2)
        assert mean["n_videos"] == 2
    assert len({(row["backend"], row["tau_sim"], row["importance"], row["retain_ratio"]) for row in both}) == len(both)
