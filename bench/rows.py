"""Results are rows: flat mappings of plain values, written as JSON, CSV or Parquet."""

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

Row = Mapping[str, Any]
FORMATS = ("json", "csv", "parquet")


def format_of(path: str | os.PathLike[str] | None, named: str | None) -> str | None:
    """The format asked for by name, else the one the file's suffix stands for; None if neither is given.

    Raises
    ------
    InputError
        an unknown format or suffix
    """
    if named is not None:
        if named not in FORMATS:
            raise InputError(f"format is {named!r}; it must be one of {', '.join(FORMATS)}")
        return named
    if path is None:
        return None
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise InputError(
            f"cannot tell the format of {path} by its suffix; end it in .json, .csv or .parquet, or pass --format"
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
    """Tables as text: JSON holds all of them by name, CSV the first."""
    if fmt == "json":
        return json.dumps({name: list(rows) for name, rows in tables.items()}, indent=1) + "\n"
    if fmt == "csv":
        return _csv(next(iter(tables.values())))
    raise InputError(f"format {fmt!r} cannot be printed; name a file with -o")


def write(path: str | os.PathLike[str], tables: Mapping[str, Sequence[Row]], fmt: str) -> list[Path]:
    """Write tables and return the files made: one for JSON; for CSV and Parquet one a table, the second and later
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
            if fmt == "csv":
                temporary.write_text(_csv(rows), encoding="utf-8", newline="")
            else:
                _write_parquet(temporary, rows)
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


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise missing_dependency("Parquet output", "pyarrow", "arrow") from None
    parquet.write_table(pyarrow.table({key: [row.get(key) for row in rows] for key in _columns(rows)}), path)
