"""Display of described columns: values as text, table headers, legends, and the documentation's tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from textwrap import fill

from stgraph.aliases import Row
from stgraph.columns import COLUMNS, Column

_UNITS = {"s": "ms", "share": "%"}  # as shown, see Column.factor
_SAID = {"s": "seconds", "bytes": "bytes"}
_ARROWS = {"higher": "↑", "lower": "↓"}
ARROWS = "↑: higher is better, ↓: lower is."
# Families of the probe's questions, whose accuracies are columns.
QUESTIONS = {
    "bg": "background",
    "obj": "still object",
    "mov": "moving object",
    "evt": "object seen for 1 or 2 frames",
    "flip": "brief change of colour",
    "when": "when it appears",
    "order": "which comes first",
    "direction": "way of the moving object",
    "count": "how often it appears",
}
_LINE = 6  # letters in a head's last line, followed by an arrow


def mean(rows: Iterable[Row], name: str) -> float | None:
    """Mean of a column over the rows that have a value; None if none has."""
    values = [row[name] for row in rows if row.get(name) is not None]
    return fmean(values) if values else None


def shown(name: str, value: float | None, missing: str = "-") -> str:
    """A value of a column as a table shows it; ``missing`` for None.

    Examples
    --------
    >>> shown("detection_s", 1.23456), shown("oversized_ratio", 0.614), shown("fidelity_mean", None)
    ('1,234.6', '61 %', '-')
    """
    column = COLUMNS[name]
    if value is None:
        return missing
    return f"{column.factor * value:,.{column.digits}f}{' %' if column.unit == 'share' else ''}"


def title(name: str) -> str:
    """The full header of a column.

    Examples
    --------
    >>> title("detection_s"), title("fidelity_mean")
    ('detect, ms', 'nearest')
    """
    column = COLUMNS[name]
    unit = ", ms" if column.unit == "s" else ""
    return f"{column.title or name}{unit}"


def narrow_head(name: str) -> str:
    """Header of a column in a window of 80 characters, on several lines; an arrow shows which values are better.

    Examples
    --------
    >>> narrow_head("detection_s"), narrow_head("uncapped_modularity"), narrow_head("n_singletons")
    ('detect\\nms ↓', 'Q ↑', 'alone')
    """
    column = COLUMNS[name]
    lines = [word.replace("\u00a0", " ") for word in _head(column).split(" ")]
    if column.unit == "s":
        lines.append(_UNITS["s"])
    if column.better:
        arrow = _ARROWS[column.better]
        if len(lines[-1]) + 2 > _LINE:
            lines.append(arrow)
        else:
            lines[-1] += f" {arrow}"
    return "\n".join(lines)


def legend(names: Iterable[str]) -> str:
    """Meanings of a table's columns, one line each.

    Examples
    --------
    >>> print(legend(["n_singletons", "modularity"]))
    alone: single-token communities.
    Q after cap ↑: modularity after the cap.
    """
    parts = []
    for column in (COLUMNS[name] for name in names):
        head = _head(column).replace("\u00a0", " ")
        arrow = f" {_ARROWS[column.better]}" if column.better else ""
        parts.append(f"{head}{arrow}: {column.meaning}.")
    return "\n".join(parts)


def axis_label(name: str, width: int = 34) -> str:
    """Label of an axis or panel that shows a column, in lines of ``width`` characters.

    Examples
    --------
    >>> axis_label("jaccard"), axis_label("evt")
    ('Jaccard overlap of the kept tokens', 'evt')
    """
    column = COLUMNS.get(name)
    if column is None:
        return name
    unit = f", {_UNITS[column.unit]}" if column.unit in _UNITS else ""
    return fill(column.meaning + unit, width)


def factor(name: str) -> float:
    """Display factor of a column in figures; 1 for an undescribed one."""
    return COLUMNS[name].factor if name in COLUMNS else 1.0


def markdown(columns: Mapping[str, type], key: Sequence[str] = ()) -> str:
    """The columns of a table for the documentation: name, type, meaning; key columns are bold."""
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for name, kind in columns.items():
        column = COLUMNS[name]
        unit = f", {_SAID[column.unit]}" if column.unit in _SAID else ""
        better = f"; {column.better} is better" if column.better else ""
        shown_name = f"**`{name}`**" if name in key else f"`{name}`"
        lines.append(f"| {shown_name} | {kind.__name__}{unit} | {column.meaning}{better} |")
    return "\n".join(lines)


def _head(column: Column) -> str:
    return column.head or column.title or column.name
