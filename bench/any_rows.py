"""Reading back rows of any command: the tables of a file, with numbers as numbers."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from stgraph.bench import rows as row_files
from stgraph.errors import InputError

Row = dict[str, Any]
FORMATS = ("csv", "json", "jsonl", "parquet")


def read_tables(path: str | os.PathLike[str]) -> dict[str, list[Row]]:
    """The tables of a file of rows by name; the one a command is about is called ``rows``.

    JSON holds all tables of a comparison. For the other formats ``stem.overlap.suffix`` beside the file is read too,
    where it is there.

    Raises
    ------
    InputError
        an unknown suffix, a file that cannot be read, or one that holds no rows
    MissingDependencyError
        Parquet without pyarrow
    """
    file = Path(path)
    suffix = file.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise InputError(f"cannot read rows of {file}: end its name in .csv, .json, .jsonl or .parquet")
    tables = _tables(file, suffix)
    beside = file.with_name(f"{file.stem}.overlap{file.suffix}")
    if suffix != "json" and beside.is_file():
        tables["overlap"] = _tables(beside, suffix)["rows"]
    if not tables.get("rows"):
        raise InputError(f"{file} holds no rows")
    return tables


def _tables(file: Path, suffix: str) -> dict[str, list[Row]]:
    try:
        if suffix == "parquet":
            return {"rows": row_files.read_parquet(file)}
        text = file.read_text(encoding="utf-8")
        if suffix == "csv":
            return {"rows": [{k: _plain(v) for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]}
        found: Any = json.loads(text) if suffix == "json" else [json.loads(line) for line in text.splitlines()]
        tables = found if isinstance(found, dict) else {"rows": found}
        if not all(isinstance(t, list) and all(isinstance(r, dict) for r in t) for t in tables.values()):
            raise ValueError("no rows")
    except (OSError, ValueError, csv.Error) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else f"it is no {suffix} file of rows"
        raise InputError(f"cannot read {file}: {reason}") from error
    return tables


def _plain(text: str | None) -> Any:
    """The value a CSV cell stands for; an empty one is missing."""
    if not text:
        return None
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
