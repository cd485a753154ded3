"""Terminal tables of a sweep: the effect of each threshold. Reads rows only."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stgraph.aliases import Row
from stgraph.viz.columns import legend
from stgraph.viz.terminal.tables import new_table

_WIDE = 5  # values of tau_diff beside each other, so that a table fits a window of 80


def sweep_tables(rows: Sequence[Row], reference: tuple[float, str]) -> RenderableType:
    """Everything ``stgraph sweep`` shows: a table per preset and ratio, and their meaning.

    Parameters
    ----------
    rows : of one sweep
    reference : (tau_sim, tau_diff) whose kept tokens each row was compared with
    """
    parts: list[RenderableType] = []
    for here in _by_preset_and_ratio(rows):
        columns = _distinct(here, "tau_diff")
        if len(columns) == len(_distinct(here, "tau_sim")) == 1:
            continue  # one cell, which is the reference itself or of one pair of thresholds: the findings say it
        for i in range(0, len(columns), _WIDE):
            parts.append(threshold_table(here, columns[i : i + _WIDE], reference))
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts), Text(), findings(rows, reference))


def threshold_table(rows: Sequence[Row], tau_diffs: Sequence[str | None], reference: tuple[float, str]) -> Table:
    """Overlap with the reference, and kept event tokens, per ``tau_sim`` and ``tau_diff``; means over the rest."""
    first = rows[0]
    table = new_table(f"{first['preset']}, r = {first['retain_ratio']:g}")
    table.padding, table.show_edge = 0, False  # dense: every column fits a window of 80
    table.add_column("\ntau_sim", no_wrap=True)
    for title in ("overlap", "events"):
        for i, tau_diff in enumerate(tau_diffs):
            head = "" if i else title
            table.add_column(f"{head}\n{'none' if tau_diff is None else tau_diff}", justify="right", no_wrap=True)
        if title == "overlap":
            table.add_column("", width=2)
    for tau_sim in _distinct(rows, "tau_sim"):
        cells: list[Text] = []
        for key, form in (("reference_overlap", "{:.2f}"), ("events", "{:,.0f}")):
            for tau_diff in tau_diffs:
                there = [row for row in rows if (row["tau_sim"], row["tau_diff"]) == (tau_sim, tau_diff)]
                value = [_events(row) if key == "events" else row[key] for row in there]
                style = "bold" if (tau_sim, tau_diff) == reference else ""
                cells.append(Text(form.format(fmean(value)) if value else "-", style=style))
            if key == "reference_overlap":
                cells.append(Text())
        table.add_row("none" if tau_sim is None else f"{tau_sim:g}", *cells)
    return table


def findings(rows: Sequence[Row], reference: tuple[float, str]) -> Text:
    """The sweep in a few sentences, and the meaning of its columns."""
    tau_sim, tau_diff = reference
    lines = []
    for here in _by_preset_and_ratio(rows):
        changes = []
        for name, other, value in (("tau_sim", "tau_diff", tau_diff), ("tau_diff", "tau_sim", tau_sim)):
            overlaps: dict[Any, list[float]] = {}
            for row in here:
                if row[other] in (value, None):
                    overlaps.setdefault(row[name], []).append(row["reference_overlap"])
            if len(overlaps) > 1:
                at, least = min(((k, fmean(v)) for k, v in overlaps.items()), key=lambda pair: pair[1])
                changes.append(f"{name} alone changes up to {100 * (1 - least):.0f} % of what is kept ({at})")
        label = f"{here[0]['preset']}, r = {here[0]['retain_ratio']:g}"
        if changes:
            lines.append(f"{label}: {', '.join(changes)}.")
        elif len(_distinct(here, "tau_sim")) == len(_distinct(here, "tau_diff")) == 1:
            overlap, events = fmean(row["reference_overlap"] for row in here), fmean(map(_events, here))
            plays = here[0]["tau_sim"] is None and here[0]["tau_diff"] is None
            only = "no threshold plays a part" if plays else f"overlap {overlap:.2f}, events {events:,.0f}"
            lines.append(f"{label}: {only}.")
    importances = ", ".join(_distinct(rows, "importance"))
    lines.append(
        f"\n{legend(['reference_overlap'])} These are tau_sim {tau_sim:g} and tau_diff {tau_diff}. events: kept tokens "
        "that are events. Columns: tau_diff; none: it plays no part. Surplus candidates were dropped by "
        f"{importances}.{_means(rows)}"
    )
    return Text("\n".join(lines))


def _by_preset_and_ratio(rows: Sequence[Row]) -> list[list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault((row["preset"], row["retain_ratio"]), []).append(row)
    return list(groups.values())


def _events(row: Row) -> int:
    return int(row["n_event"] + row["n_both"])


def _distinct(rows: Sequence[Row], key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in rows))


def _means(rows: Sequence[Row]) -> str:
    """The axes a table's figures are averaged over, in words."""
    axes = {"digest": "dumps", "backend": "backends", "split": "splitters", "seed": "seeds"}
    counts = {title: len(set(_distinct(rows, key)) - {None}) for key, title in axes.items()}
    several = [f"{count} {title}" for title, count in counts.items() if count > 1]
    return f" Figures are means over {', '.join(several)}." if several else ""
