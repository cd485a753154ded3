"""The study's pages show what the rows in the repository say; the rows are of what is shipped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from stgraph.bench.probe.rows import unpack
from stgraph.bench.probe.splits import DIGEST
from stgraph.bench.probe.weights import model_names, weights_digest
from stgraph.bench.tables.reading import read_tables
from stgraph.errors import InputError
from stgraph.study_pages import PAGES, page_tables, update_pages, with_tables
from stgraph.viz.markdown.objectives import NAMES
from stgraph.viz.markdown.real_features import KINDS, RANKINGS
from stgraph.viz.markdown.study import BASE, ratios_of

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "bench" / "results" / "study"


def rows_of(name: str) -> list[dict[str, Any]]:
    return [dict(row) for row in read_tables(STUDY / f"{name}.csv")["rows"]]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_every_table_of_the_page_is_that_of_the_rows(name: str) -> None:
    tables = page_tables(name, STUDY)
    for title, table in tables.items():
        assert f"\n\n{table}\n" in page(name), title
    assert with_tables(page(name), tables) == page(name)  # and it has no other


def test_pages_take_the_tables_of_other_rows(tmp_path: Path) -> None:
    for name in PAGES:
        (tmp_path / name).write_text(re.sub(r"\d", "0", page(name)), encoding="utf-8")
    update_pages(STUDY, tmp_path)
    for name in PAGES:
        updated = (tmp_path / name).read_text(encoding="utf-8")
        assert all(table in updated for table in page_tables(name, STUDY).values())
    (tmp_path / name).write_text("No table.\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"the page has 0 tables, and the study \d+: threshold-0\.05, "):
        update_pages(STUDY, tmp_path)


def test_bold_differences_hold_after_holm() -> None:
    """Read off the page, p-values off the rows; the correction restated."""
    text = page("what-clustering-changes.md")
    cells = re.findall(r"(\*\*)?([+-]\d+\.\d \[-?\d+\.\d, -?\d+\.\d\])", text)
    of_page = page_tables("what-clustering-changes.md", STUDY)
    tables = [of_page[name] for name in ("contrasts", "contrasts-evt")]
    rows = rows_of("contrasts")
    assert f"all {len(cells)} differences of this page" in text and len(cells) == sum(t.count("[") for t in tables)
    assert all(row["p"] is not None for row in rows)
    p_values = []
    for family, table in zip(("all", "evt"), tables, strict=True):
        for line in table.splitlines()[2:]:
            label, tau, *differences = (cell.strip() for cell in line.strip("|").split("|"))
            column, a, b = re.fullmatch(r"(\w+): (.+) over (.+)", label).groups()  # type: ignore[union-attr]
            setting = {**BASE, **({} if tau == "-" else {"tau_sim": tau}), "family": family, "contrast": column}
            setting |= {"a": a, "b": b, column: None}
            here = [row for row in rows if all(str(row[name]) == str(value) for name, value in setting.items())]
            assert len(here) == len(differences)
            p_values += [row["p"] for row in sorted(here, key=lambda row: row["retain_ratio"])]
    least, sure = sorted(p_values), set()
    for rank, p in enumerate(least):
        if p * (len(least) - rank) > 0.05:
            break
        sure.add(p)
    assert [bool(star) for star, _ in cells] == [p in sure for p in p_values]
    assert 0 < len(sure) and sum(p in sure for p in p_values) < sum(p <= 0.05 for p in p_values)


def test_rows_are_of_the_models_that_are_shipped() -> None:
    for file in ("dev", "test"):
        rows = rows_of(file)
        assert {row["generator"] for row in rows} == {DIGEST} and {row["videos"] for row in rows} == {file}
        assert {(row["model"], row["weights"]) for row in rows} == {
            (name, weights_digest(name)) for name in model_names()
        }


def test_accuracy_of_a_row_is_that_of_its_answers() -> None:
    for row in rows_of("test")[::50]:
        assert row["accuracy"] == pytest.approx(unpack(row).mean())


def test_threshold_of_the_page_was_chosen_on_dev() -> None:
    (chosen,) = (row for row in rows_of("thresholds") if row["features"] == "projector")
    mean: dict[float, list[float]] = {}
    for row in rows_of("dev"):
        if row["features"] == "projector" and row["selector"] == "st-simdiff":
            mean.setdefault(row["tau_sim"], []).append(row["accuracy"])
    assert chosen["tau_sim"] == max(mean, key=lambda tau: sum(mean[tau]) / len(mean[tau]))


def test_rows_of_the_objectives_are_those_of_the_study() -> None:
    pytest.importorskip("torch", reason="needs torch: the probe's models run in it")
    from stgraph.bench.probe.objectives import N_QUESTIONS, RATIOS, objective_settings

    rows = rows_of("objectives")
    assert {row["generator"] for row in rows} == {DIGEST} and {row["videos"] for row in rows} == {"test"}
    names = ("backend", "tau_sim", "max_size", "importance")
    settings = [one for one in objective_settings() if one.get("backend")]
    wanted = {(*(str(one.get(name)).lower() for name in names), ratio) for one in settings for ratio in RATIOS}
    of_method = [row for row in rows if row["backend"]]
    assert {(*(str(row[name]) for name in names), row["retain_ratio"]) for row in of_method} == wanted
    assert len(of_method) == len(wanted) * len(model_names())
    assert {row["n_questions"] for row in rows} == {N_QUESTIONS}


def test_figure_of_the_objectives_has_a_curve_for_each() -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[viz]'")
    from stgraph.viz.figures.objectives import objective_figure

    rows = rows_of("objectives")
    figure = objective_figure(rows)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"r = {ratio}" for ratio in ratios_of(rows)]
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == [*NAMES.values(), "all tokens", "uniform", "random"]
    with pytest.raises(InputError, match=r"give objectives\.csv of make study"):
        objective_figure([{"backend": "x"}])


def test_figure_of_real_features_has_a_panel_for_each_and_a_curve_per_objective() -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    from stgraph.viz.figures.real_features import real_feature_figure

    figure = real_feature_figure(rows_of("real-features"))
    assert len(figure.axes) == len(KINDS) * len(RANKINGS)
    assert all(len(axes.lines) == len(NAMES) for axes in figure.axes)
    with pytest.raises(InputError, match=r"give real-features\.csv of make study"):
        real_feature_figure([{"dump": "x"}])
