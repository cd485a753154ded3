"""Every column is described once, and what shows columns reads that description."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import columns_in_docs
import pytest

from stgraph.bench.tables.table import Table
from stgraph.columns import COLUMNS, NEAREST
from stgraph.community.quality import PartitionQuality
from stgraph.viz.columns import legend, narrow_head, shown, title
from stgraph.viz.terminal import comparison, selector_comparison

ROOT = Path(__file__).parents[2]


def test_a_column_is_described_in_a_phrase() -> None:
    for name, column in COLUMNS.items():
        assert column.name == name
        assert column.kind in (str, int, float, bool)
        assert re.fullmatch(r'[a-z"1Jn√][^\n]*[^.\s]', column.meaning), name
        assert column.unit in ("", "s", "bytes", "share"), name
        assert (column.unit == "s") == (name.endswith("_s") or name == "seconds"), name
        assert column.better in ("", "higher", "lower"), name
        assert column.kind is float or column.unit not in ("s", "share"), name


def test_columns_of_a_partition_are_those_of_its_quality() -> None:
    hints = get_type_hints(PartitionQuality)
    assert {f.name: COLUMNS[f.name].kind for f in fields(PartitionQuality)} == {
        f.name: hints[f.name] for f in fields(PartitionQuality)
    }


@pytest.mark.parametrize("columns", [comparison._COMMUNITIES, comparison._KEPT, selector_comparison._KEPT])
def test_columns_of_a_table_are_told_apart(columns: tuple[str, ...]) -> None:
    assert len({title(name) for name in columns}) == len(columns)
    for name in columns:
        assert max(map(len, narrow_head(name).split("\n"))) <= 8, name
        assert title(name).isprintable()
        assert f": {COLUMNS[name].meaning}" in legend(columns)


@pytest.mark.parametrize("page", columns_in_docs.PAGES)
def test_columns_in_the_documentation_are_the_declared_ones(page: str) -> None:
    path = columns_in_docs.DOCS / page
    if not path.exists():
        pytest.skip("not a checkout")
    text = path.read_text(encoding="utf-8")
    assert "<!-- columns: " in text
    assert columns_in_docs.written_anew(text) == text, "run tests/support/columns_in_docs.py"


def test_values_as_they_are_shown() -> None:
    assert shown("detection_s", 1.23456) == "1,234.6"
    assert shown("oversized_ratio", 0.614) == "61 %"
    assert shown("n_kept", 1234.5) == "1,234"
    assert shown("fidelity_mean", 0.8551) == "0.855"
    assert {shown(name, None) for name in COLUMNS} == {"-"}


def test_a_row_has_the_columns_of_its_table() -> None:
    table = Table.of(("backend", "n_kept", "select_s"), ("backend",), n_kept=float)
    assert table.columns == {"backend": str, "n_kept": float, "select_s": float}
    assert table.row({"select_s": 0.5, "backend": "x"}) == {"backend": "x", "n_kept": None, "select_s": 0.5}
    assert list(table.row({"select_s": 0.5, "backend": "x"})) == list(table.columns)
    assert table.without("backend") == Table({"n_kept": float, "select_s": float})
    with pytest.raises(ValueError, match="a row here has the columns backend, n_kept, select_s; not seconds"):
        table.row({"seconds": 1})
    with pytest.raises(KeyError):
        Table.of(("nobody_described_this",))


def test_a_figure_is_spelt_in_few_files() -> None:
    """One that describes it, one that computes it; what shows figures takes them from :data:`NEAREST`."""
    rooms = ("stgraph", "community", "selection", "viz", "bench")
    files = {path.resolve() for room in rooms for path in (ROOT / room).rglob("*.py")}
    spelt = sorted(str(path.relative_to(ROOT)) for path in files if "event_fidelity" in path.read_text())
    assert len(spelt) <= 4, spelt
    assert "event_fidelity_mean" in NEAREST
