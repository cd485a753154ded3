"""Tables of means from rows, one line per label, for terminals and pages alike. Reads rows only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from rich.table import Table
from rich.text import Text

from stgraph.aliases import Row
from stgraph.columns import COLUMNS
from stgraph.viz.columns import mean, narrow_head, shown, title
from stgraph.viz.terminal.tables import new_table


@dataclass(frozen=True)
class RowTable:
    """Means of the rows of each label.

    Attributes
    ----------
    title : title without the ratio
    ratio : r of all rows; None if there are several
    columns : names, see :data:`stgraph.columns.COLUMNS`
    groups : label -> its rows
    notes : label -> a remark beside the figures
    marks : label -> its signs, "" for none; a separate column on the terminal
    """

    title: str
    ratio: float | None
    columns: Sequence[str]
    groups: Mapping[str, Sequence[Row]]
    notes: Mapping[str, str]
    marks: Mapping[str, str]

    def means(self, label: str) -> list[float | None]:
        """One value per column."""
        return [mean(self.groups[label], name) for name in self.columns]

    def spreads(self, label: str) -> list[float | None]:
        """Standard deviation of each column over the videos' means; None if fewer than two have a value."""
        videos: dict[Any, list[Row]] = {}
        for row in self.groups[label]:
            videos.setdefault(row.get("dump"), []).append(row)
        found = ([mean(rows, name) for rows in videos.values()] for name in self.columns)
        known = ([value for value in values if value is not None] for values in found)
        return [stdev(values) if len(values) > 1 else None for values in known]

    def on_terminal(self, of: str) -> Table:
        """The table for a terminal of 80 characters; ``of`` is the header of the labels."""
        table = new_table(self.title if self.ratio is None else f"r = {self.ratio:g}. {self.title}")
        table.padding, table.show_edge = 0, False
        table.add_column(of, overflow="fold")
        if self.marks:
            table.add_column("", no_wrap=True)
        for name in self.columns:
            table.add_column(narrow_head(name), justify="right", no_wrap=True)
        for label in self.groups:
            values = zip(self.columns, self.means(label), self.spreads(label), strict=True)
            cells = [shown(name, value) + _plus_minus(name, spread) for name, value, spread in values]
            table.add_row(Text(label), *([Text(self.marks[label])] if self.marks else []), *cells)
        return table

    def on_page(self) -> dict[str, Any]:
        """The table as plain values for a page, in displayed units."""
        described = [COLUMNS[name] for name in self.columns]
        return {
            "title": self.title,
            "ratio": self.ratio,
            "columns": [
                {
                    "title": title(column.name),
                    "meaning": f"{column.meaning} ({column.better} is better)" if column.better else column.meaning,
                    "digits": column.digits,
                    "unit": " %" if column.unit == "share" else "",
                }
                for column in described
            ],
            "rows": [
                {
                    "label": label,
                    "note": self.notes.get(label, ""),
                    "marks": self.marks.get(label, ""),
                    "cells": [
                        None if value is None else column.factor * value
                        for column, value in zip(described, self.means(label), strict=True)
                    ],
                    "spreads": [
                        None if value is None else column.factor * value
                        for column, value in zip(described, self.spreads(label), strict=True)
                    ],
                }
                for label in self.groups
            ],
        }


def _plus_minus(name: str, spread: float | None) -> str:
    return "" if spread is None else f" ±{shown(name, spread).removesuffix(' %')}"


def row_table(
    title: str,
    ratio: float | None,
    columns: Sequence[str],
    rows: Sequence[Row],
    label: Callable[[Row], str],
    notes: Mapping[str, str] | None = None,
    marks: Mapping[str, str] | None = None,
) -> RowTable:
    """A table of these rows, without columns that have no values."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(label(row), []).append(row)
    used = [name for name in columns if any(row.get(name) is not None for row in rows)]
    return RowTable(title, ratio, used, groups, notes or {}, marks or {})


def overlap_means(pairs: Sequence[Row], label: Callable[[Row, str], str]) -> tuple[list[str], list[list[float | None]]]:
    """Mean Jaccard overlap of each two labels, in order; None if there is no such pair."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for pair in pairs:
        a, b = label(pair, "_a"), label(pair, "_b")
        for key in {(a, b), (b, a)}:
            cells.setdefault(key, []).append(pair)
    names = list(dict.fromkeys(label(pair, side) for pair in pairs for side in ("_a", "_b")))
    return names, [[mean(cells.get((a, b), ()), "jaccard") for b in names] for a in names]
