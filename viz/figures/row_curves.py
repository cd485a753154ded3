"""Curves from rows: one per setting, named by the differences. Reads rows only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from stgraph.aliases import Row
from stgraph.errors import InputError

MOST = 24  # curves per figure; more would share colours, marks and line styles


@dataclass(frozen=True)
class Curve:
    """Values over x, ascending; ``low`` and ``high`` are the ends of the interval, or None if the rows have no
    interval."""

    label: str
    x: list[float]
    y: list[float]
    low: list[float | None]
    high: list[float | None]


def curves(rows: Sequence[Row], x: str, y: str, settings: Sequence[str]) -> list[Curve]:
    """One curve per combination of ``settings``, in the order of the rows.

    Rows of one combination with the same x are averaged, their intervals too. Rows without a value of ``y`` are
    omitted; a curve is named by the settings that differ between rows.

    Raises
    ------
    InputError
        the rows lack a column, a value is not a number, or there are too many curves for a figure

    Examples
    --------
    >>> rows = [{"r": 0.5, "s": "a", "acc": 0.7}, {"r": 0.1, "s": "a", "acc": 0.5}, {"r": 0.5, "s": "b", "acc": 0.6}]
    >>> [(c.label, c.x, c.y) for c in curves(rows, "r", "acc", ("s",))]
    [('a', [0.1, 0.5], [0.5, 0.7]), ('b', [0.5], [0.6])]
    """
    telling = [key for key in settings if len({row.get(key) for row in rows}) > 1]
    groups: dict[tuple[Any, ...], dict[float, list[Row]]] = {}
    for row in rows:
        at, value = number(row, x), number(row, y)
        if at is not None and value is not None:
            groups.setdefault(tuple(row.get(key) for key in telling), {}).setdefault(at, []).append(row)
    made = []
    names = _names(telling, list(groups))
    for key, places in groups.items():
        xs = sorted(places)
        ys = [fmean(row[y] for row in places[v]) for v in xs]
        low, high = ([_mean(places[v], f"{y}{end}") for v in xs] for end in ("_low", "_high"))
        made.append(Curve(names[key] or y, xs, ys, low, high))
    if len(made) > MOST:
        raise InputError(
            f"the rows make {len(made)} curves, which differ in {', '.join(telling)}; a figure holds up to {MOST}: "
            "draw fewer rows, as --where backend=igraph-leiden does"
        )
    return made


def number(row: Row, column: str, required: bool = True) -> float | None:
    """The number in a column; None if the row has no value there.

    Raises
    ------
    InputError
        the column is ``required`` and missing, or a value is not a number
    """
    if column not in row:
        if required:
            raise InputError(f"the rows have no column {column!r}; they have {', '.join(map(str, row))}")
        return None
    value = row[column]
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"column {column!r} holds {value!r}, which is not a number; choose another column")
    return float(value)


def _mean(rows: Sequence[Row], column: str) -> float | None:
    values = [number(row, column, required=False) for row in rows]
    there = [v for v in values if v is not None]
    return fmean(there) if len(there) == len(values) else None


def _names(telling: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], str]:
    """A name for each key. A setting that some rows lack and all others share is named only if two names would
    otherwise be equal, such as the seed of a method without randomness."""
    values = [{key[i] for key in keys} - {None} for i in range(len(telling))]
    short = [i for i in range(len(telling)) if len(values[i]) > 1]
    names = {key: _label([telling[i] for i in short], [key[i] for i in short]) for key in keys}
    taken = Counter(names.values())
    return {key: name if taken[name] == 1 else _label(telling, key) for key, name in names.items()}


def _label(telling: Sequence[str], key: Sequence[Any]) -> str:
    """The values, with names for numbers, switches and thresholds, which are unclear without them."""
    parts = []
    for name, value in zip(telling, key, strict=True):
        if value is None or value == "":
            continue
        plain = isinstance(value, str) and not name.startswith("tau")
        parts.append(str(value) if plain else f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(parts)
