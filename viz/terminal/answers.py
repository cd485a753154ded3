"""Terminal tables of a task's summary. Reads rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stgraph.aliases import Row
from stgraph.viz.columns import legend, narrow_head, shown
from stgraph.viz.terminal.tables import new_table

_MEANS = ("n_kept", "prefill_tflop", "total_s")
_FEW = 20  # videos below which a percentile bootstrap is known to be too narrow


def task_tables(summary: Sequence[Row], families: Sequence[Row] = ()) -> RenderableType:
    """Everything ``stgraph eval --model`` shows: accuracy by configuration and by family of questions, and the meaning.

    Parameters
    ----------
    summary, families : of :func:`stgraph.bench.answers.summary.summarise` and ``by_family``
    """
    label = _labels(summary)
    parts: list[RenderableType] = [_accuracy_table(summary, label)]
    if len({row["family"] for row in families}) > 1:
        parts.append(_family_table(families, label))
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts), Text(), _legend(summary, label))


def _accuracy_table(rows: Sequence[Row], label: Mapping[tuple[Any, ...], str]) -> Table:
    table = new_table("Accuracy")
    table.padding, table.show_edge = 0, False  # dense: every column fits a window of 80
    table.add_column("selector", overflow="fold")
    against = next((row["against"] for row in rows if row["against"] is not None), "")
    heads = ("r", narrow_head("accuracy"), "95 %", f"- {against}" if against else "", "95 %")
    for title in (*heads, *map(narrow_head, _MEANS)):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            label[_key(row)],
            "" if row["retain_ratio"] is None else f"{row['retain_ratio']:g}",
            _percent(row["accuracy"]),
            _range(row["low"], row["high"]),
            _percent(row["difference"], sign=True),
            _range(row["difference_low"], row["difference_high"], sign=True),
            *(shown(name, row[name], "") for name in _MEANS),
        )
    return table


def _family_table(rows: Sequence[Row], label: Mapping[tuple[Any, ...], str]) -> Table:
    table = new_table("Accuracy by family of questions")
    table.padding, table.show_edge = 0, False
    table.add_column("family", overflow="fold")
    table.add_column("selector", overflow="fold")
    for title in ("r", narrow_head("accuracy"), "95 %", "questions", "videos"):
        table.add_column(title, justify="right", no_wrap=True)
    last = None
    for row in rows:
        table.add_row(
            Text("" if row["family"] == last else str(row["family"])),
            label[_key(row)],
            "" if row["retain_ratio"] is None else f"{row['retain_ratio']:g}",
            _percent(row["accuracy"]),
            _range(row["low"], row["high"]),
            *(shown(name, row[name]) for name in ("n_questions", "n_videos")),
        )
        last = row["family"]
    return table


def _legend(rows: Sequence[Row], label: Mapping[tuple[Any, ...], str]) -> Text:
    most = max(rows, key=lambda row: row["n_questions"])
    chance = f", {_percent(most['chance'])} by chance" if most["chance"] is not None else ""
    lines = [
        f"{most['n_questions']:,} questions on {most['n_videos']:,} videos{chance}; in per cent. 95 %: bootstrap over "
        "videos, whose questions stand or fall together; the difference is paired. All others are means. "
        f"{legend(['accuracy', *_MEANS])}"
    ]
    unanswered = [f"{label[_key(row)]} {row['n_failed']:,}" for row in rows if row["n_failed"]]
    if unanswered:
        lines.append(f"Failed and left out: {', '.join(unanswered)} questions.")
    if most["n_videos"] == 1:
        lines.append("One video says nothing of others: there is no interval.")
    elif 1 < most["n_videos"] < _FEW:
        lines.append(f"With fewer than {_FEW} videos the intervals are too narrow.")
    unsure = [row["p_letters"] for row in rows if row["p_letters"] is not None and row["p_letters"] < 0.5]
    if unsure:
        lines.append(
            f"The letters of the options have {_percent(min(unsure))} % of the probability on average where they have "
            "least: the model would rather say something else (p_letters)."
        )
    return Text("\n".join(lines))


def _labels(rows: Sequence[Row]) -> dict[tuple[Any, ...], str]:
    """Labels of configurations: the selector, with backend and splitter if there are several."""
    labels = {}
    for row in rows:
        alike = [other for other in rows if other["selector"] == row["selector"]]
        several = [name for name in ("backend", "split") if len({other[name] for other in alike}) > 1]
        labels[_key(row)] = " / ".join(str(row[name]) for name in ("selector", *several))
    return labels


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("selector", "backend", "split", "parameters", "retain_ratio"))


def _percent(share: float | None, *, sign: bool = False) -> str:
    return "" if share is None else f"{100 * share:{'+' if sign else ''}.1f}"


def _range(low: float | None, high: float | None, *, sign: bool = False) -> str:
    return "" if low is None or high is None else f"{_percent(low, sign=sign)}..{_percent(high, sign=sign)}"
