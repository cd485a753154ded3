"""The filter ``--where``: rows with given values."""

from __future__ import annotations

from collections.abc import Sequence

from stgraph.bench.tables.reading import plain_value
from stgraph.bench.tables.table import Row
from stgraph.errors import InputError


def matching(rows: Sequence[Row], where: Sequence[str]) -> list[Row]:
    """The rows with all given values, written as ``column=value``; the references "full" and "blind" are kept if they
    have no value there.

    Raises
    ------
    InputError
        the equals sign is missing, the column does not exist, or no rows are left

    Examples
    --------
    >>> matching([{"r": 0.1, "b": "x"}, {"r": 0.3, "b": "x"}], ["r=0.3"])
    [{'r': 0.3, 'b': 'x'}]
    """
    kept = list(rows)
    for text in where:
        name, equals, value = text.partition("=")
        if not equals or not any(name in row for row in rows):
            raise InputError(
                f"--where is {text!r}; write it as column=value, with one of {', '.join(map(str, rows[0]))}"
            )
        wanted = (plain_value(value), value)  # a text such as a threshold may look like a number
        kept = [row for row in kept if row.get(name) in wanted or (row.get(name) is None and _is_reference(row))]
    if not kept:
        raise InputError(f"no row has {' and '.join(where)}")
    return kept


def _is_reference(row: Row) -> bool:
    return row.get("selector") in ("full", "blind")
