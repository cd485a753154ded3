"""A comparison of selectors as tables. Reads rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stgraph.columns import NEAREST
from stgraph.viz.columns import legend, mean
from stgraph.viz.row_tables import RowTable, row_table
from stgraph.viz.tables import new_table

Row = Mapping[str, Any]
_KEPT = ("n_kept", "mean_layer_ratio", "n_events_kept", *NEAREST, "frame_evenness", "jaccard", "select_s")


def kept_tables(rows: Sequence[Row], overlap: Sequence[Row] = ()) -> list[RowTable]:
    """What each selector keeps at each ratio; its overlap is the one with the first selector."""
    tables = []
    for ratio in dict.fromkeys(row["retain_ratio"] for row in rows):
        inside = [row for row in rows if row["retain_ratio"] == ratio]
        first = selector_label(inside[0])
        shared = {name: _shared(overlap, ratio, first, name) for name in map(selector_label, inside)}
        table = row_table(
            f"Kept of {inside[0]['n_visual']:,} tokens",
            ratio,
            _KEPT,
            [{**row, "jaccard": shared[selector_label(row)]} for row in inside],
            selector_label,
            {selector_label(row): _note(row) for row in reversed(inside)},
        )
        tables.append(table)
    return tables


def selector_tables(rows: Sequence[Row], overlap: Sequence[Row], skipped: Sequence[Row]) -> RenderableType:
    """Everything ``stgraph compare --selectors`` shows: a table per ratio, what was skipped, the legend."""
    tables = kept_tables(rows, overlap)
    parts: list[RenderableType] = [table.on_terminal("selector", _marks(table)) for table in tables]
    if skipped:
        parts.append(_skipped_table(skipped))
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts), Text(), _legend(rows, tables, skipped))


def _note(row: Row) -> str:
    """What a reader should know of a selector beside its figures."""
    parts = ["merges tokens"] if row.get("kind") == "merge" else []
    return "; ".join([*parts, *([row["exactness"]] if row.get("exactness") not in (None, "exact") else [])])


def _marks(table: RowTable) -> dict[str, str]:
    firsts = {label: rows[0] for label, rows in table.groups.items()}
    return {
        label: ("m" if row["kind"] == "merge" else "") + ("" if row["exactness"] == "exact" else "≈")
        for label, row in firsts.items()
    }


def _skipped_table(skipped: Sequence[Row]) -> Table:
    table = new_table("Not run")
    table.padding, table.show_edge = 0, False
    table.add_column("selector", no_wrap=True)
    table.add_column("why", overflow="fold")
    reasons: dict[tuple[str, str], list[float]] = {}
    for row in skipped:
        reasons.setdefault((row["selector"], row["reason"]), []).append(row["retain_ratio"])
    for (name, reason), ratios in reasons.items():
        at = ", ".join(f"{r:g}" for r in ratios if r is not None)
        table.add_row(f"{name}  ", Text(f"r = {at}: {reason}" if at else reason))
    return table


def _legend(rows: Sequence[Row], tables: Sequence[RowTable], skipped: Sequence[Row]) -> Text:
    lines = []
    if skipped:
        lines.append(
            "Signals come with a dump; `stgraph sample --synthetic-signals` makes them up, to try all selectors.\n"
        )
    if rows:
        lines.append(
            "m: merges tokens; ≈: approximate, the column exactness of the rows says why. Overlap is with the first "
            f"row, {selector_label(rows[0])}. {legend(dict.fromkeys(name for t in tables for name in t.columns))}"
        )
    return Text("\n".join(lines))


def selector_label(row: Row, suffix: str = "") -> str:
    """``st-simdiff / igraph-leiden``; ``suffix`` is that of a pair's columns."""
    name, backend = str(row["selector" + suffix]), row["backend" + suffix]
    return f"{name} / {backend}" if backend else name


def _shared(overlap: Sequence[Row], ratio: float, a: str, b: str) -> float | None:
    pairs = [p for p in overlap if p["retain_ratio"] == ratio and a != b]
    return mean([p for p in pairs if {selector_label(p, "_a"), selector_label(p, "_b")} == {a, b}], "jaccard")
