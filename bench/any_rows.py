"""Reading back rows of any command: the tables of a file, with numbers as numbers."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
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


def matching(rows: Sequence[Row], where: Sequence[str]) -> list[Row]:
    """The rows that have each of these values, written as ``column=value``; the references "full" and "blind" stay
    where they have no value there.

    Raises
    ------
    InputError
        no equals sign, no such column, or no row is left

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
        wanted = _plain(value)
        kept = [row for row in kept if row.get(name) == wanted or (row.get(name) is None and _is_reference(row))]
    if not kept:
        raise InputError(f"no row has {' and '.join(where)}")
    return kept


def _is_reference(row: Row) -> bool:
    return row.get("selector") in ("full", "blind")


def accuracy_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows with an accuracy: as they are, or, of ``stgraph eval --model``, which has one row a question, summarised.

    The summary has the columns ``accuracy``, ``accuracy_low`` and ``accuracy_high`` and the same for every family of
    questions, with the intervals of :mod:`stgraph.bench.task_summary`.
    """
    if "correct" not in rows[0]:
        return list(rows)
    from stgraph.bench.task_summary import CONFIGURATION, by_family, summarise

    whole = {tuple(one[name] for name in CONFIGURATION): one for one in summarise(rows)}
    for one in whole.values():
        one |= {"accuracy_low": one["low"], "accuracy_high": one["high"]}
    for one in by_family(rows):
        family, target = str(one["family"]), whole[tuple(one[name] for name in CONFIGURATION)]
        target |= {family: one["accuracy"], f"{family}_low": one["low"], f"{family}_high": one["high"]}
    return list(whole.values())


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
