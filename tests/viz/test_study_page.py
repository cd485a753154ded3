"""``docs/what-clustering-changes.md`` shows what the rows in the repository say; the rows are of what is shipped."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from stgraph.bench.probe.rows import unpack
from stgraph.bench.probe.splits import DIGEST
from stgraph.bench.probe.weights import model_names, weights_digest
from stgraph.errors import InputError
from stgraph.viz.markdown.objectives import NAMES, objective_tables
from stgraph.viz.markdown.rankings import choice_tables
from stgraph.viz.markdown.real_features import KINDS, RANKINGS, real_feature_tables
from stgraph.viz.markdown.study import BASE, read, study_tables

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "bench" / "results" / "study"


@pytest.mark.parametrize("name", list(study_tables(STUDY)))
def test_table_stands_in_the_page(name: str) -> None:
    assert study_tables(STUDY)[name] in (ROOT / "docs" / "what-clustering-changes.md").read_text(encoding="utf-8")


def test_bold_differences_hold_after_holm() -> None:
    """Read off the page, p-values off the rows; the correction restated."""
    text = (ROOT / "docs" / "what-clustering-changes.md").read_text(encoding="utf-8")
    cells = re.findall(r"(\*\*)?([+-]\d+\.\d \[-?\d+\.\d, -?\d+\.\d\])", text)
    tables = [study_tables(STUDY)[name] for name in ("contrasts", "contrasts-evt")]
    rows = read(STUDY / "contrasts.csv")
    assert f"all {len(cells)} differences of this page" in text and len(cells) == sum(t.count("[") for t in tables)
    assert all(not math.isnan(float(row["p"])) for row in rows)
    p_values = []
    for family, table in zip(("all", "evt"), tables, strict=True):
        for line in table.splitlines()[2:]:
            label, tau, *differences = (cell.strip() for cell in line.strip("|").split("|"))
            column, a, b = re.fullmatch(r"(\w+): (.+) over (.+)", label).groups()  # type: ignore[union-attr]
            setting = {**BASE, **({} if tau == "-" else {"tau_sim": tau}), "family": family, "contrast": column}
            setting |= {"a": a, "b": b, column: ""}
            here = [row for row in rows if all(row[name] == value for name, value in setting.items())]
            assert len(here) == len(differences)
            p_values += [float(row["p"]) for row in sorted(here, key=lambda row: float(row["retain_ratio"]))]
    least, sure = sorted(p_values), set()
    for rank, p in enumerate(least):
        if p * (len(least) - rank) > 0.05:
            break
        sure.add(p)
    assert [bool(star) for star, _ in cells] == [p in sure for p in p_values]
    assert 0 < len(sure) and sum(p in sure for p in p_values) < sum(p <= 0.05 for p in p_values)


def test_rows_are_of_the_models_that_are_shipped() -> None:
    for file in ("dev", "test"):
        rows = read(STUDY / f"{file}.csv")
        assert {row["generator"] for row in rows} == {DIGEST} and {row["videos"] for row in rows} == {file}
        assert {(row["model"], row["weights"]) for row in rows} == {
            (name, weights_digest(name)) for name in model_names()
        }


def test_accuracy_of_a_row_is_that_of_its_answers() -> None:
    for row in read(STUDY / "test.csv")[::50]:
        sizes = {name: int(row[name]) for name in ("n_videos", "n_questions")}
        assert float(row["accuracy"]) == pytest.approx(unpack({**sizes, "answers": row["answers"]}).mean())


def test_threshold_of_the_page_was_chosen_on_dev() -> None:
    (chosen,) = (row for row in read(STUDY / "thresholds.csv") if row["features"] == "projector")
    mean: dict[str, list[float]] = {}
    for row in read(STUDY / "dev.csv"):
        if row["features"] == "projector" and row["selector"] == "st-simdiff":
            mean.setdefault(row["tau_sim"], []).append(float(row["accuracy"]))
    assert chosen["tau_sim"] == max(mean, key=lambda tau: sum(mean[tau]) / len(mean[tau]))


@pytest.mark.parametrize("name", list(objective_tables(STUDY)))
def test_table_stands_in_the_page_of_objectives(name: str) -> None:
    assert objective_tables(STUDY)[name] in (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")


def test_rows_of_the_objectives_are_those_of_the_study() -> None:
    pytest.importorskip("torch", reason="needs torch: the probe's models run in it")
    from stgraph.bench.probe.objectives import N_QUESTIONS, objective_settings

    rows = read(STUDY / "objectives.csv")
    assert {row["generator"] for row in rows} == {DIGEST} and {row["videos"] for row in rows} == {"test"}
    wanted = {(str(one.get("backend")), str(one.get("tau_sim"))) for one in objective_settings() if one.get("backend")}
    assert {(row["backend"], row["tau_sim"]) for row in rows if row["backend"]} == wanted
    assert {row["n_questions"] for row in rows} == {str(N_QUESTIONS)}


def test_figure_of_the_objectives_has_a_curve_for_each() -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[viz]'")
    from stgraph.viz.figures.objectives import objective_figure

    figure = objective_figure(read(STUDY / "objectives.csv"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["r = 0.1", "r = 0.3"]
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == [*NAMES.values(), "all tokens", "uniform", "random"]
    with pytest.raises(InputError, match=r"give objectives\.csv of make study"):
        objective_figure([{"backend": "x"}])


@pytest.mark.parametrize("name", list(choice_tables(STUDY)))
def test_table_of_the_offline_ranking_stands_in_the_page(name: str) -> None:
    assert choice_tables(STUDY)[name] in (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(real_feature_tables(STUDY)))
def test_table_of_real_features_stands_in_the_page(name: str) -> None:
    assert real_feature_tables(STUDY)[name] in (ROOT / "docs" / "what-clustering-changes.md").read_text(
        encoding="utf-8"
    )


def test_figure_of_real_features_has_a_panel_for_each_and_a_curve_per_objective() -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    from stgraph.viz.figures.real_features import real_feature_figure

    figure = real_feature_figure(read(STUDY / "real-features.csv"))
    assert len(figure.axes) == len(KINDS) * len(RANKINGS)
    assert all(len(axes.lines) == len(NAMES) for axes in figure.axes)
    with pytest.raises(InputError, match=r"give real-features\.csv of make study"):
        real_feature_figure([{"dump": "x"}])
