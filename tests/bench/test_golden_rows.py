"""What the commands deliver is what they delivered before: the frozen rows, and the rows of the published study."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from shutil import copy
from typing import Any

import golden_rows
import pytest
from command_line import run

STUDY = Path(__file__).parents[2] / "bench" / "results" / "study"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


@pytest.mark.parametrize("name", golden_rows.CASES)
def test_rows_are_the_frozen_ones(name: str, folder: Path) -> None:
    made_with, expected = golden_rows.frozen(name)
    for library in made_with:
        pytest.importorskip(library, reason=f"needs {library}")
    if golden_rows.versions(name) != made_with:
        pytest.skip(f"frozen with {made_with}; rows of other versions may differ")
    found = golden_rows.computed(name, folder)
    assert found.keys() == expected.keys()
    for table, rows in expected.items():
        assert len(found[table]) == len(rows), table
        for i, (row, before) in enumerate(zip(found[table], rows, strict=True)):
            assert_equal(row, before, f"{table} {i}")


def assert_equal(row: Mapping[str, Any], before: Mapping[str, Any], place: str) -> None:
    """Every column as it was; None stands for a column that a row lacks, too. Sums of floats may be summed in another
    order by another version of NumPy."""
    for column in row.keys() | before.keys():
        new, old = row.get(column), before.get(column)
        close = pytest.approx(old, rel=1e-5, abs=1e-6) if isinstance(old, float) else old
        assert new == close, f"{place}, {column}: {new!r}, was {old!r}"
        assert isinstance(new, bool) == isinstance(old, bool), f"{place}, {column}: {new!r}, was {old!r}"


def published(file: str, **of: str) -> list[dict[str, Any]]:
    """Rows of the study with these values."""
    with open(STUDY / file, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row for row in rows if all(row[name] == value for name, value in of.items())]


def assert_published(rows: Iterable[Mapping[str, Any]], before: list[dict[str, Any]], *apart: str) -> None:
    """The same rows in the same order, but for times and the columns named."""
    rows = list(rows)
    assert len(rows) == len(before) > 0
    for i, (row, old) in enumerate(zip(rows, before, strict=True)):
        for column, text in old.items():
            if column.endswith("_s") or column.startswith(("library", "stgraph", *apart)):
                continue
            new = row[column]
            same = new == pytest.approx(float(text), rel=1e-5) if isinstance(new, float) else _text(new) == text
            assert same, f"row {i}, {column}: {new!r}, published {text!r}"


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def test_comparison_of_the_study() -> None:
    args = ("-b", "lattice-components", "--split", "tree", "--split", "raster", "--no-fidelity", "-q")
    rows = golden_rows.read(run("compare", *args, "--format", "json"))["rows"]
    before = [*published("sample.csv", backend="lattice-components", split="tree")]
    before += published("sample.csv", backend="lattice-components", split="raster")
    assert_published(rows, before, "fidelity", "event_fidelity", "cut_fidelity")


def test_sweep_of_the_study() -> None:
    args = ("--tau-sim", "0.85", "--tau-diff", "0.2", "-r", "0.3", "--importance", "auto", "-q", "--format", "jsonl")
    presets = ("attention-only", "temporal", "full")
    rows = golden_rows.read(run("sweep", *(f"--preset={name}" for name in presets), *args))["rows"]
    before = [
        *published("sample-sweep.csv", preset="attention-only", retain_ratio="0.3"),
        *published("sample-sweep.csv", preset="temporal", retain_ratio="0.3", tau_sim="0.85"),
        *published("sample-sweep.csv", preset="full", retain_ratio="0.3", tau_sim="0.85"),
    ]
    by = {row["preset"]: row for row in rows}
    assert_published((by[name] for name in presets), before, "fidelity", "event_fidelity", "cut_f", "has_f", "digest")


def test_probe_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study asks for the very rows that are published: a run that goes on from them has nothing to compute."""
    pytest.importorskip("torch", reason="needs torch")
    from stgraph.bench.probe import study
    from stgraph.bench.probe.plan import ProbePlan
    from stgraph.bench.probe.rows import ProbeRows
    from stgraph.bench.probe.run import run as run_probe
    from stgraph.bench.probe.weights import model_names

    monkeypatch.setattr("stgraph.__version__", published("dev.csv")[0]["stgraph"])
    monkeypatch.setattr("stgraph.bench.probe.run.load_model", lambda name: pytest.fail(f"a row of {name} is missing"))
    tau = study.chosen_thresholds(ProbeRows(STUDY / "dev.csv").all())
    assert tau == {row["features"]: float(row["tau_sim"]) for row in published("thresholds.csv")}
    for file, settings in (("dev", tuple(study.threshold_settings())), ("test", study.study_settings(tau))):
        plan = ProbePlan(settings=settings, videos=file, models=model_names(), retain_ratios=study.RATIOS)
        rows = run_probe(plan, ProbeRows(copy(STUDY / f"{file}.csv", tmp_path)))
        assert len(rows) == len(published(f"{file}.csv"))


@pytest.mark.slow
def test_a_probe_row_of_the_study() -> None:
    pytest.importorskip("torch", reason="needs torch")
    args = ("-s", "st-simdiff", "-b", "lattice-components", "-p", "importance=attention", "-r", "0.1", "-q")
    *_, row = golden_rows.read(run("probe", *args, "--format", "jsonl"))["rows"]
    (before,) = published(
        "test.csv",
        model=row["model"],
        selector="st-simdiff",
        features="projector",
        retain_ratio="0.1",
        backend="lattice-components",
        split="tree",
        max_size="sqrt",
        tau_sim="0.8",
        tau_diff="0.2",
        importance="attention",
        protect_events="False",
        events="True",
        spatial="True",
        temporal="True",
    )
    for name in ("n_kept", "n_communities", "largest", "n_uncapped", "largest_uncapped", "oversized_ratio", "n_events"):
        assert row[name] == pytest.approx(float(before[name]), rel=1e-3)
    assert row["accuracy"] == pytest.approx(float(before["accuracy"]), abs=0.002)
