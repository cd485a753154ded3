"""The reader of result rows, safe for untrusted files."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from stgraph.bench.tables.parquet_file import read_parquet
from stgraph.bench.tables.table import Row, Table
from stgraph.columns import COLUMNS
from stgraph.errors import InputError
from stgraph.plain_json import parse_json

FORMATS = ("csv", "json", "jsonl", "parquet")
_EITHER = ("max_size",)  # rows of the probe say "sqrt", all others the number
_LARGEST = 1e100  # sums and squares of it are finite
_INTEGERS = range(-(2**63), 2**63)  # what a column of integers holds, here as in Parquet


def read_rows(path: str | os.PathLike[str], fmt: str, table: Table) -> list[Row]:
    """The rows of a file with one table, in a format a run can resume from.

    Parameters
    ----------
    fmt : "csv", "jsonl" or "parquet"
    table : the columns the file must have; values are returned in their column's type, or as None

    Raises
    ------
    InputError
        the file cannot be read, holds other columns, or a value of another type
    MissingDependencyError
        Parquet without PyArrow
    """
    names, found = _parsed(Path(path), fmt)["rows"]
    for columns in ([names] if names else []) + [list(row) for row in found]:
        odd = sorted(set(columns) ^ table.columns.keys())
        if odd:
            more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
            raise InputError(f"{path} holds other columns; they differ in {', '.join(odd[:5])}{more}")
    rows = []
    for i, row in enumerate(found, 1):
        try:
            rows.append({name: _typed(row[name], kind) for name, kind in table.columns.items()})
        except (KeyError, TypeError, ValueError, OverflowError):
            raise InputError(f"cannot read {path}: row {i} holds a value that does not belong in its column") from None
    return rows


def read_tables(path: str | os.PathLike[str]) -> dict[str, list[Row]]:
    """The tables of any command's file, by name; the main one is called ``rows``.

    JSON holds all tables of a comparison. For the other formats, ``stem.overlap.suffix`` beside the file is read too,
    if it exists. The rows of a table have the same columns; missing values are None. A described column
    (:data:`stgraph.columns.COLUMNS`) holds values of its type, numbers are finite, and NaN counts as missing.

    Raises
    ------
    InputError
        an unknown suffix, a file that cannot be read, or one that holds no rows
    MissingDependencyError
        Parquet without PyArrow
    """
    file = Path(path)
    fmt = file.suffix.removeprefix(".").lower()
    if fmt not in FORMATS:
        raise InputError(f"cannot read rows of {file}: end its name in .csv, .json, .jsonl or .parquet")
    found = _parsed(file, fmt)
    beside = file.with_name(f"{file.stem}.overlap{file.suffix}")
    if fmt != "json" and beside.is_file():
        found["overlap"] = _parsed(beside, fmt)["rows"]
    tables: dict[str, list[Row]] = {}
    for name, (columns, rows) in found.items():
        whole = ({column: row.get(column) for column in columns} for row in rows)
        tables[name] = [{c: _cell(file, i, c, v, fmt) for c, v in row.items()} for i, row in enumerate(whole, 1)]
    if not tables.get("rows"):
        raise InputError(f"{file} holds no rows")
    return tables


def _cell(file: Path, i: int, name: str, value: Any, fmt: str) -> Any:
    """A value in the type its column describes; in an undescribed column, in the type it looks like."""
    column = COLUMNS.get(name)
    kind = None if column is None or name in _EITHER else column.kind
    if value == "":
        return None
    if isinstance(value, str) and kind is not str and (fmt == "csv" or kind is not None):
        value = plain_value(value)
    if isinstance(value, float) and isnan(value):
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and not abs(value) <= _LARGEST:
        raise InputError(f"cannot read {file}: row {i} holds {value:g} in {_shown(name)}; a number is finite")
    fits = isinstance(value, bool) if kind is bool else number or kind in (None, str)
    if value is not None and not fits:
        takes = f"{_shown(name)}, which takes {'True or False' if kind is bool else 'numbers'}"
        raise InputError(f"cannot read {file}: row {i} holds {_shown(str(value))} in {takes}")
    return value


def _parsed(file: Path, fmt: str) -> dict[str, tuple[list[str], list[Row]]]:
    """Every table of a file: its columns and raw rows; all guards against a file's content are here.

    Cells of CSV are text, those of other formats plain values.
    """
    try:
        if fmt == "parquet":
            tables = {"rows": read_parquet(file)}
        else:
            with open(file, encoding="utf-8-sig", newline="") as stream:  # line ends inside a quoted value stay
                text = stream.read()
            tables = {"rows": _csv(text)} if fmt == "csv" else _json_tables(text, lines=fmt == "jsonl")
        for names, rows in tables.values():
            _check(names, rows)
    except OSError as error:  # PyArrow's have no number where a file is not Parquet
        reason = os.strerror(error.errno) if error.errno else f"it is not a {fmt} file of rows"
        raise InputError(f"cannot read {file}: {reason}") from error
    except _RefusedError as error:
        raise InputError(f"cannot read {file}: {error}") from None
    except InputError:
        raise
    except (ValueError, NotImplementedError, csv.Error) as error:
        raise InputError(f"cannot read {file}: it is not a {fmt} file of rows") from error
    return tables


class _RefusedError(ValueError):
    """The file's content is refused; the message says why."""


def _csv(text: str) -> tuple[list[str], list[Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = next(reader, [])
    rows = []
    for cells in filter(None, reader):
        if len(cells) != len(names):
            raise _RefusedError(f"line {reader.line_num} has {len(cells)} cells, the first line {len(names)}")
        rows.append(dict(zip(names, cells, strict=True)))
    return names, rows


def _json_tables(text: str, *, lines: bool) -> dict[str, tuple[list[str], list[Row]]]:
    try:
        found = [parse_json(line) for line in text.split("\n") if line.strip()] if lines else parse_json(text)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # a key given twice, nesting too deep, thousands of digits
        raise _RefusedError(str(error)) from None
    tables = found if isinstance(found, dict) else {"rows": found}
    if not all(isinstance(rows, list) and all(isinstance(row, dict) for row in rows) for rows in tables.values()):
        raise ValueError("a table is a list of objects")
    return {name: (list(dict.fromkeys(_names(rows))), rows) for name, rows in tables.items()}


def _names(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield from row


def _check(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Refuse duplicate columns, and cells that are not a single plain value."""
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise _RefusedError(f"it has the column {_shown(twice)} twice; each has its own name")
    for name in names:
        _check_text(name, 0)
    for i, row in enumerate(rows, 1):
        for name, value in row.items():
            if isinstance(value, str):
                _check_text(value, i)
            elif value is not None and not isinstance(value, (bool, int, float)):
                raise _RefusedError(f"row {i} holds a {type(value).__name__} in {_shown(name)}, which takes one value")
            elif isinstance(value, int) and value not in _INTEGERS:
                raise _RefusedError(f"row {i} holds an integer in {_shown(name)} that takes more than 64 bits")


def _check_text(text: str, i: int) -> None:
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise _RefusedError(f"{f'row {i}' if i else 'a column'} holds half of a surrogate pair, which is not text")


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:57] + "...")


def _typed(value: Any, kind: type) -> Any:
    if value is None or value == "":
        return None
    if kind is bool:
        return {"True": True, "False": False, True: True, False: False}[value]
    if isinstance(value, bool) or (kind is int and not isinstance(value, str) and value != int(value)):
        raise ValueError  # kind() would make 1 of True and of 1.5
    if kind is str:
        return str(value)
    number = kind(_digits(value))
    if kind is int and number not in _INTEGERS:
        raise ValueError
    return number


def _digits(value: Any) -> Any:
    """Refuse text that Python would parse as a number although it is not a usual notation."""
    if isinstance(value, str) and "_" in value:
        raise ValueError
    return value


def plain_value(text: str) -> Any:
    """The value of a CSV cell; an empty cell is missing."""
    if not text:
        return None
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            value = kind(_digits(text))
        except ValueError:
            continue
        if kind is float or value in _INTEGERS:
            return value
    return text
