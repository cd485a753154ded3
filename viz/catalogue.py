"""Tables of selectors and their parameters, for the terminal and the documentation. Reads plain values only."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from stgraph.aliases import Row
from stgraph.viz.terminal.tables import new_table


def selector_table(rows: Sequence[Row]) -> Table:
    """One row per selector."""
    table = new_table("Selectors")
    for title in ("selector", "paper", "venue", "year", "signals", "cuts", "count"):
        table.add_column(title, overflow="fold", no_wrap=title == "selector")
    for row in rows:
        table.add_row(*(Text(cell) for cell in _cells(row)))
    return table


def parameter_table(parameters: Sequence[Row]) -> Table:
    """One row per parameter."""
    table = new_table("Parameters" if parameters else "No parameters")
    for title in ("parameter", "default", "values", "meaning"):
        table.add_column(title, overflow="fold")
    for row in parameters:
        table.add_row(*(Text(str(row[key])) for key in ("name", "default", "values", "meaning")))
    return table


def markdown(rows: Sequence[Row]) -> str:
    """The selectors as a Markdown table."""
    lines = ["| selector | paper | venue | signals | cuts | count | parameters |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        name, title, venue, year, _, cuts, count = _cells(row)
        where = " ".join(part for part in (venue, "" if venue.startswith("arXiv") else year) if part)
        named = ", ".join(f"`{signal}`" for signal in row["signals"])
        parameters = ", ".join(f"`{one['name']}` {one['default']}" for one in row["parameters"])
        mark = ", quadratic" if row["quadratic"] else ""
        lines.append(f"| `{name}` | {title} | {where} | {named} | {cuts} | {count}{mark} | {parameters} |")
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    texts = (row["title"] or "", row["venue"] or "", str(row["year"] or ""), ", ".join(row["signals"]))
    return [row["name"], *texts, row["cuts"], row["counts"]]
