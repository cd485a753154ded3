"""Writing result rows as JSON, CSV, Parquet or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from stgraph.aliases import Row
from stgraph.bench.tables.parquet_file import write_parquet
from stgraph.errors import InputError
from stgraph.files import atomic_path

FORMATS = ("json", "csv", "parquet")
ROW_FORMATS = ("csv", "parquet", "jsonl")  # of one table, which a later run can resume from


def format_of(path: str | os.PathLike[str] | None, named: str | None, formats: Sequence[str] = FORMATS) -> str | None:
    """The format given by name, or by the file's suffix; None if neither is given.

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


def encode(tables: Mapping[str, Sequence[Row]], fmt: str) -> str:
    """Tables as text: JSON holds all of them by name, CSV and JSON lines only the first."""
    if fmt == "json":
        return json.dumps({name: list(rows) for name, rows in tables.items()}, indent=1) + "\n"
    if fmt == "csv":
        return _csv(next(iter(tables.values())))
    if fmt == "jsonl":
        return _json_lines(next(iter(tables.values())))
    raise InputError(f"format {fmt!r} cannot be printed; name a file with -o")


def write(path: str | os.PathLike[str], tables: Mapping[str, Sequence[Row]], fmt: str) -> list[Path]:
    """Write tables and return the files made: one for JSON; for other formats one per table, the second and later named
    ``stem.table.suffix``.

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
                write_parquet(temporary, _columns(rows), rows)
            else:
                text = _csv(rows) if fmt == "csv" else _json_lines(rows)
                temporary.write_text(text, encoding="utf-8", newline="")
        made.append(file)
    return made


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
