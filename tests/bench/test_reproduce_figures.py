"""The paper's figures as data: the printed ones, and rows that run in a model."""

from __future__ import annotations

from pathlib import Path

from stgraph.bench.reproduce.benchmarks import BENCHMARKS, read_tasks
from stgraph.bench.reproduce.paper import PaperRow, PaperTable, paper_table, paper_tables
from stgraph.selection.budget import Budget
from stgraph.selection.settings import Setting
from stgraph.vlm.stages import check_selector


def test_every_row_is_a_setting_that_runs_in_a_model() -> None:
    n_rows = {name: len(table.rows) for name, table in paper_tables().items()}
    assert n_rows == {
        "table1": 13,
        "table2": 13,
        "table3": 10,
        "table4": 6,
        "table5": 10,
        "figure3": 6,
        "figure5": 9,
        "figure6": 9,
    }
    for table in paper_tables().values():
        assert len({row.name for row in table.rows}) == len(table.rows)
        for row in table.rows:
            assert set(row.figures) <= set(BENCHMARKS)
            if row.selector == "full":
                assert row.retain_ratio is None and not row.parameters
            else:
                check_selector(Setting(row.selector, row.parameters).build(Budget(row.retain_ratio)))


def test_figures_are_the_printed_ones() -> None:
    def of(table: str, row: str) -> PaperRow:
        return next(found for found in paper_table(table).rows if found.name == row)

    assert of("table1", "r = 0.5, ST-SimDiff").figures == {
        "videomme": {"short": 76.2, "medium": 62.4, "long": 52.7, "overall": 63.8},
        "longvideobench": {"relation": 52.3, "perception": 64.3, "overall": 57.9},
        "egoschema": {"overall": 57.3},
    }
    assert of("table2", "full").figures["videomme"] == {"short": None, "medium": None, "long": None, "overall": 61.5}
    assert of("table3", "r = 0.3, +sim temporal").parameters == {"spatial": False, "events": False}
    assert of("table4", "128 frames, r = 0.3").figures["egoschema"] == {"overall": 64.4}
    assert of("table4", "128 frames, r = 0.3").frames == 128
    assert of("table5", "r = 0.5, baseline").figures["longvideobench"] == {"overall": 55.3}
    assert of("figure3", "128 frames, ST-SimDiff").costs == {"seconds": 4.54, "peak_gb": 23.9}
    assert of("figure6", "tau_sim = 0.8").figures["videomme"] == {"overall": 60.2}


def test_tasks_as_they_are_named(tmp_path: Path) -> None:
    task = tmp_path / "task.jsonl"
    task.touch()
    assert [one.benchmark for one in read_tasks([], ("videomme", "egoschema"))] == ["videomme", "egoschema"]
    (one,) = read_tasks([str(task)], ())
    assert (one.benchmark, one.file) == ("task", task)
    assert isinstance(paper_table("figure5"), PaperTable)
