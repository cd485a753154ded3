"""Results are rows: flat mappings of plain values, written as JSON, CSV, Parquet or JSON lines, and read back."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stgraph.errors import InputError, missing_dependency
from stgraph.files import atomic_path
from stgraph.plain_json import parse_json

Row = Mapping[str, Any]
FORMATS = ("json", "csv", "parquet")
MAX_PARQUET_VALUES = 50_000_000  # rows x columns; some 4 GB as Python objects
ROW_FORMATS = ("csv", "parquet", "jsonl")  # of one table, from which :func:`read` gets the same rows back


def format_of(path: str | os.PathLike[str] | None, named: str | None, formats: Sequence[str] = FORMATS) -> str | None:
    """The format asked for by name, else the one the file's suffix stands for; None if neither is given.

    Raises
    ------
    InputError
        an unknown format or suffix
    """
    if named is not None:
        if named not in formats:
            raise InputError(f"format is {named!r}; it must be one of {', '.join(formats)}")
        return named
    if path is None:
        return None
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in formats:
        *others, last = (f".{name}" for name in formats)
        raise InputError(
            f"cannot tell the format of {path} by its suffix; end it in {', '.join(others)} or {last}, or pass --format"
        )
    return suffix


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise InputError now, before any work, if ``path`` could not be written later."""
    target = Path(path)
    if target.is_dir():
        raise InputError(f"cannot write {target}: it is a folder; give a file name")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise InputError(f"cannot write {target}: choose an existing folder you may write to")


def encode(tables: Mapping[str, Sequence[Row]], fmt: str) -> str:
    """Tables as text: JSON holds all of them by name, CSV and JSON lines the first."""
    if fmt == "json":
        return json.dumps({name: list(rows) for name, rows in tables.items()}, indent=1) + "\n"
    if fmt == "csv":
        return _csv(next(iter(tables.values())))
    if fmt == "jsonl":
        return _json_lines(next(iter(tables.values())))
    raise InputError(f"format {fmt!r} cannot be printed; name a file with -o")


def write(path: str | os.PathLike[str], tables: Mapping[str, Sequence[Row]], fmt: str) -> list[Path]:
    """Write tables and return the files made: one for JSON; for other formats one a table, the second and later
    named ``stem.table.suffix``.

    Raises
    ------
    InputError
        the path cannot be written
    MissingDependencyError
        Parquet without pyarrow
    """
    target = Path(path)
    if fmt == "json":
        with atomic_path(target) as temporary:
            temporary.write_text(encode(tables, fmt), encoding="utf-8")
        return [target]
    made = []
    for i, (name, rows) in enumerate(tables.items()):
        file = target if i == 0 else target.with_name(f"{target.stem}.{name}{target.suffix}")
        with atomic_path(file) as temporary:
            if fmt == "parquet":
                _write_parquet(temporary, rows)
            else:
                text = _csv(rows) if fmt == "csv" else _json_lines(rows)
                temporary.write_text(text, encoding="utf-8", newline="")
        made.append(file)
    return made


def read(path: str | os.PathLike[str], fmt: str, columns: Mapping[str, type]) -> list[dict[str, Any]]:
    """The rows of a file that :func:`write` made of one table, in one of :data:`ROW_FORMATS`.

    Parameters
    ----------
    columns : name and type (str, int, float or bool) of every column; a value may be missing (None)

    Raises
    ------
    InputError
        the file cannot be read, holds other columns, or a value of another type
    MissingDependencyError
        Parquet without pyarrow
    """
    try:
        if fmt == "parquet":
            names, found = _read_parquet(Path(path))
        else:
            with open(path, encoding="utf-8", newline="") as stream:  # a line end inside a quoted value stays as it is
                text = stream.read()
            names, found = _parse_csv(text) if fmt == "csv" else ([], _parse_lines(text))
    except InputError:
        raise
    except (OSError, ValueError, NotImplementedError, csv.Error) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else f"it is no {fmt} file of rows"
        raise InputError(f"cannot read {path}: {reason}") from error
    if len(set(names)) != len(names):
        raise InputError(f"{path} has a column twice; each has one name")
    for columns_there in ([names] if names else []) + [list(row) for row in found]:
        odd = sorted(map(str, set(columns_there) ^ columns.keys()))
        if odd:
            more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
            raise InputError(f"{path} holds other columns; they differ in {', '.join(odd[:5])}{more}")
    rows = []
    for i, row in enumerate(found, 1):
        try:
            rows.append({name: _plain(row[name], kind) for name, kind in columns.items()})
        except (KeyError, TypeError, ValueError, OverflowError):
            raise InputError(f"cannot read {path}: row {i} holds a value that does not belong in its column") from None
    return rows


def _plain(value: Any, kind: type) -> Any:
    if value is None or value == "":
        return None
    if kind is bool:
        return {"True": True, "False": False, True: True, False: False}[value]
    if not isinstance(value, (str, int, float)) or (kind is int and value != int(value) and not isinstance(value, str)):
        raise ValueError  # kind() would make text of a list, and 1 of 1.5
    return kind(value)


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _json_lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(dict(row)) + "\n" for row in rows)


def _parse_csv(text: str) -> tuple[list[str], list[dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text))
    return list(reader.fieldnames or ()), list(reader)


def _parse_lines(text: str) -> list[dict[str, Any]]:
    rows = [parse_json(line) for line in text.splitlines()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line is no JSON object")
    return rows


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    pyarrow, parquet = _arrow("Parquet output")
    parquet.write_table(pyarrow.table({key: [row.get(key) for row in rows] for key in _columns(rows)}), path)


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file, whatever its columns; errors are those of pyarrow."""
    return _read_parquet(path)[1]


def _read_parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """A few bytes of Parquet can stand for any number of values, so what they unfold to is asked before."""
    pyarrow, parquet = _arrow("Reading Parquet")
    kinds = pyarrow.types
    with parquet.ParquetFile(path) as file:  # this one file: no folder of parts, no columns guessed from its path
        schema, claims = file.schema_arrow, file.metadata
    groups = [claims.row_group(i).num_rows for i in range(claims.num_row_groups)]
    if min(groups, default=0) < 0 or sum(groups) != claims.num_rows:
        raise ValueError("the groups of rows are not all the rows")
    n_rows = claims.num_rows
    if not all(kinds.is_primitive(kind) or kinds.is_string(kind) or kinds.is_null(kind) for kind in schema.types):
        raise ValueError("a column holds more than one value a row")
    if n_rows * len(schema) > MAX_PARQUET_VALUES:
        raise InputError(f"cannot read {path}: it holds {n_rows:,} rows of {len(schema)} columns; cut it into parts")
    texts = [name for name, kind in zip(schema.names, schema.types, strict=True) if kinds.is_string(kind)]
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        table = file.read()
    table.validate(full=True)  # PyArrow trusts what it reads: texts that are no UTF-8, values that are not there
    columns = [_values(column) for column in table.columns]
    return schema.names, [dict(zip(schema.names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _values(column: Any) -> list[Any]:
    """The values of an Arrow column; equal texts are one object, as they are one in the file."""
    values: list[Any] = []
    for chunk in column.chunks:
        if hasattr(chunk, "dictionary"):
            texts = chunk.dictionary.to_pylist()
            values += [None if i is None else texts[i] for i in chunk.indices.to_pylist()]
        else:
            values += chunk.to_pylist()
    return values


def _arrow(feature: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise missing_dependency(feature, "pyarrow", "arrow") from None
    return pyarrow, parquet
