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

from stgraph.bench.tables.reading import read_rows

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
    from stgraph.bench.probe import densities, objectives, rankings, study
    from stgraph.bench.probe.plan import ProbePlan
    from stgraph.bench.probe.presets import DEFAULT_RATIOS
    from stgraph.bench.probe.rows import ProbeRows
    from stgraph.bench.probe.run import run as run_probe
    from stgraph.bench.probe.weights import model_names

    (version,) = {row["stgraph"] for name in study.RESUMED for row in published(name)}
    monkeypatch.setattr("stgraph.__version__", version)
    monkeypatch.setattr("stgraph.bench.probe.run.load_model", lambda name: pytest.fail(f"a row of {name} is missing"))
    tau = study.chosen_thresholds(ProbeRows(STUDY / "dev.csv").all())
    assert tau == {row["features"]: float(row["tau_sim"]) for row in published("thresholds.csv")}
    asked = {
        "dev": ("dev", study.RATIOS, 2000),
        "test": ("test", study.RATIOS, 2000),
        "objectives": ("test", objectives.RATIOS, objectives.N_QUESTIONS),
        "rankings-dev": ("dev", DEFAULT_RATIOS, rankings.N_QUESTIONS),
        "densities": ("dev", densities.RATIOS, densities.N_QUESTIONS),
    }
    assert [f"{name}.csv" for name in asked] == list(study.RESUMED)
    for file, settings in settings_of_the_study().items():
        videos, ratios, n_questions = asked[file]
        plan = ProbePlan(
            settings=tuple(settings),
            videos=videos,
            models=model_names(),
            retain_ratios=ratios,
            n_questions=n_questions,
        )
        rows = run_probe(plan, ProbeRows(copy(STUDY / f"{file}.csv", tmp_path)))
        assert len(rows) == len(published(f"{file}.csv"))


def settings_of_the_study() -> dict[str, list[Any]]:
    """File -> the settings of its rows."""
    from stgraph.bench.probe import densities, objectives, rankings, study

    tau = {row["features"]: float(row["tau_sim"]) for row in published("thresholds.csv")}
    return {
        "dev": list(study.threshold_settings()),
        "test": list(study.study_settings(tau)),
        "objectives": list(objectives.objective_settings()),
        "rankings-dev": list(rankings.ranking_settings()),
        "densities": list(densities.density_settings()),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "videos", "model"),
    [
        ("dev", "dev", "dropped-1"),
        ("test", "test", "whole-3"),
        ("objectives", "test", "dropped-2"),
        ("rankings-dev", "dev", "whole-3"),
        ("densities", "dev", "dropped-2"),
    ],
)
def test_probe_rows_of_the_study_come_out_again(file: str, videos: str, model: str) -> None:
    """The answers about the first videos, in settings all over the file. Processors round differently, which decides
    between equally good communities: three answers in sixty may be others."""
    pytest.importorskip("torch", reason="needs torch")
    from stgraph.bench.probe.plan import ProbePlan
    from stgraph.bench.probe.rows import PROBE, unpack
    from stgraph.bench.probe.run import run as run_probe

    settings = settings_of_the_study()[file]
    plan = ProbePlan(
        settings=tuple(settings[:: max(1, len(settings) // 6)]),
        retain_ratios=(0.1, 0.3),
        models=(model,),
        videos=videos,
        n_questions=60,
    )
    key = [name for name in PROBE.key if name != "n_questions"]
    before = {tuple(row[name] for name in key): row for row in read_rows(STUDY / f"{file}.csv", "csv", PROBE)}
    rows = run_probe(plan)
    assert len(rows) == 2 + 2 * len(plan.settings)
    other = []
    for row in rows:
        old = before[tuple(row[name] for name in key)]
        assert (row["generator"], row["exactness"]) == (old["generator"], old["exactness"])
        assert row["n_kept"] == pytest.approx(old["n_kept"], rel=0.01)
        other.append((unpack(row) != unpack(old)[: row["n_videos"]]).mean())
    assert max(other) <= 0.05
