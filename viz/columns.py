"""How described columns are shown: values as text, heads of tables, legends, and the tables of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from textwrap import fill
from typing import Any

from stgraph.columns import COLUMNS, Column

Row = Mapping[str, Any]

_UNITS = {"s": "ms", "share": "%"}  # as shown, see Column.factor
_SAID = {"s": "seconds", "bytes": "bytes"}
_SOFT_HYPHEN = "\u00ad"


def mean(rows: Iterable[Row], name: str) -> float | None:
    """Mean of a column over the rows that have a value; None where none has."""
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
    """The head of a column where there is room.

    Examples
    --------
    >>> title("detection_s"), title("fidelity_mean")
    ('detect, ms', 'nearest')
    """
    column = COLUMNS[name]
    unit = ", ms" if column.unit == "s" else ""
    return f"{column.title.replace(_SOFT_HYPHEN, '') or name}{unit}"


def narrow_head(name: str) -> str:
    """The head of a column in a window of 80, on several lines.

    Examples
    --------
    >>> narrow_head("detection_s"), narrow_head("uncapped_modularity")
    ('detect\\nms', 'modu-\\nlarity')
    """
    column = COLUMNS[name]
    head = _head(column).replace(" ", "\n").replace(_SOFT_HYPHEN, "-\n").replace("\u00a0", " ")
    return f"{head}\n{_UNITS['s']}" if column.unit == "s" else head


def legend(names: Iterable[str]) -> str:
    """What the columns of a table mean, in one paragraph.

    Examples
    --------
    >>> legend(["n_singletons", "jaccard"])
    'alone: tokens that are a community by themselves. overlap: Jaccard overlap of the kept tokens.'
    """
    parts = []
    for column in (COLUMNS[name] for name in names):
        head = _head(column).replace(_SOFT_HYPHEN, "").replace("\u00a0", " ")
        better = f" ({column.better} is better)" if column.better else ""
        parts.append(f"{head}: {column.meaning}{better}.")
    return " ".join(parts)


def axis_label(name: str, width: int = 34) -> str:
    """What an axis or a panel that shows a column is called, on lines of ``width`` characters.

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
    """What values of a column are multiplied by where they are drawn; 1 for one that is not described."""
    return COLUMNS[name].factor if name in COLUMNS else 1.0


def markdown(columns: Mapping[str, type], key: Sequence[str] = ()) -> str:
    """The columns of a table for the documentation: name, type, meaning; those of the key are bold."""
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
