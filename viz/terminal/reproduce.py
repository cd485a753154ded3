"""Table of the paper's figures beside reproduced ones. Reads rows only."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from stgraph.aliases import Row
from stgraph.viz.columns import legend, shown
from stgraph.viz.terminal.tables import new_table

_DIGITS = {"accuracy": 1, "seconds": 2, "peak_gb": 1}


def reproduced_table(title: str, rows: Sequence[Row]) -> RenderableType:
    """One line per figure: the paper's, ours, and the difference.

    Parameters
    ----------
    rows : :data:`stgraph.bench.tables.experiments.REPRODUCED`
    """
    table = new_table(title)
    table.padding, table.show_edge = 0, False
    for name in ("row", "benchmark"):
        table.add_column(name, overflow="fold")
    for name in ("figure", "paper", "here", "difference", "questions", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    last = ""
    for row in rows:
        digits = _DIGITS[row["quantity"]]
        figure = row["subset"] if row["quantity"] == "accuracy" else row["quantity"]
        table.add_row(
            Text("" if row["row"] == last else row["row"]),
            Text(str(row["benchmark"])),
            Text(str(figure)),
            _number(row["paper"], digits),
            "failed" if row["error"] is not None else _number(row["here"], digits),
            _number(row["deviation"], digits, sign=True),
            shown("n_questions", row["n_questions"], ""),
            shown("kept_ratio", row["kept_ratio"], ""),
        )
        last = row["row"]
    return Group(table, Text(), Text(f"Accuracy in per cent, time in seconds, memory in GB. {legend(['kept_ratio'])}"))


def _number(value: float | None, digits: int, *, sign: bool = False) -> str:
    return "" if value is None else f"{value:{'+' if sign else ''}.{digits}f}"
