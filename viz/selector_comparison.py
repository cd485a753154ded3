"""Rows of a selector comparison as tables for a terminal. Reads rows only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stgraph.viz.tables import new_table

Row = Mapping[str, Any]
_FIGURES = {
    "near-\nest": "fidelity_mean",
    "5 %": "fidelity_p5",
    "events": "event_fidelity_mean",
    "cuts": "cut_fidelity_mean",
    "even-\nness": "frame_evenness",
}


def selector_tables(rows: Sequence[Row], overlap: Sequence[Row], skipped: Sequence[Row]) -> RenderableType:
    """Everything ``stgraph compare -s`` shows for one dump: a table a ratio, what was skipped, the legend."""
    parts: list[RenderableType] = []
    for ratio in dict.fromkeys(row["retain_ratio"] for row in rows):
        inside = [row for row in rows if row["retain_ratio"] == ratio]
        parts.append(_ratio_table(inside, [p for p in overlap if p["retain_ratio"] == ratio], ratio))
    if skipped:
        parts.append(_skipped_table(skipped))
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts), Text(), _legend(rows, skipped))


def _ratio_table(rows: Sequence[Row], overlap: Sequence[Row], ratio: float) -> Table:
    table = new_table(f"r = {ratio:g} of {rows[0]['n_visual']:,} tokens")
    table.padding, table.show_edge = 0, False  # dense: every column fits a window of 80
    table.add_column("selector", overflow="fold")
    table.add_column("", no_wrap=True)
    figures = {title: key for title, key in _FIGURES.items() if any(row.get(key) is not None for row in rows)}
    against = selector_label(rows[0])
    for title in ("kept", "layer\nmean", *figures, "over-\nlap", "ms"):
        table.add_column(title, justify="right", no_wrap=True)
    for label, group in _grouped(rows).items():
        marks = ("m" if group[0]["kind"] == "merge" else "") + ("" if group[0]["exactness"] == "exact" else "≈")
        shared = _shared(overlap, against, label)
        table.add_row(
            label,
            Text(marks),
            f"{_mean(group, 'n_kept'):,.0f}",
            f"{100 * _mean(group, 'mean_layer_ratio'):.1f} %",
            *(_figure(group, key) for key in figures.values()),
            "" if shared is None else f"{shared:.2f}",
            f"{1e3 * _mean(group, 'select_s'):,.0f}",
        )
    return table


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


def _legend(rows: Sequence[Row], skipped: Sequence[Row]) -> Text:
    lines = []
    if skipped:
        lines.append(
            "Signals come with a dump; `stgraph sample --synthetic-signals` makes them up, to try all selectors.\n"
        )
    if rows:
        first = selector_label(rows[0])
        lines.append(
            "m: merges tokens; ≈: approximate, the column exactness of the rows says why. layer mean: tokens on "
            "average over the LLM's layers, in per cent of all. nearest, 5 %: cosine of dropped tokens to the nearest "
            "token handed on, mean and 5th percentile; events, cuts: the mean over dropped event tokens, and over "
            "dropped tokens right after a shot change. evenness: of the kept tokens over frames, at most 1. overlap: "
            f"Jaccard, of the kept tokens with those of {first}. ms: of one run; `stgraph bench` measures properly."
        )
    return Text("\n".join(lines))


def selector_label(row: Row, suffix: str = "") -> str:
    """``st-simdiff / igraph-leiden``; ``suffix`` is that of a pair's columns."""
    name, backend = str(row["selector" + suffix]), row["backend" + suffix]
    return f"{name} / {backend}" if backend else name


def _grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(selector_label(row), []).append(row)
    return groups


def _shared(overlap: Sequence[Row], a: str, b: str) -> float | None:
    values = [p["jaccard"] for p in overlap if {selector_label(p, "_a"), selector_label(p, "_b")} == {a, b}]
    return fmean(values) if values and a != b else None


def _mean(rows: Iterable[Row], key: str) -> float:
    return fmean(row[key] for row in rows)


def _figure(rows: Iterable[Row], key: str) -> str:
    values = [row[key] for row in rows if row.get(key) is not None]
    return f"{fmean(values):.3f}" if values else "-"
