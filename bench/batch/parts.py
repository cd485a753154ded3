"""The rows of one input as one Parquet file, written in one step, with what it was made of in its header."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stgraph.bench.batch.tasks import Row
from stgraph.bench.tables.parquet_file import check_parquet, described, read_parquet
from stgraph.errors import InputError
from stgraph.files import atomic_path

# In front of the columns of the task.
COLUMNS: Mapping[str, type] = {
    "input": str,
    "part": str,
    "task": str,
    "parameters_digest": str,
    "stgraph": str,
    "input_bytes": int,
    "input_mtime_ns": int,
    "status": str,
    "error": str,
    "attempts": int,
    "file": str,
}
ROWS = "rows"  # the folder of the dataset
_HEADER = b"stgraph.batch"


def check_arrow() -> None:
    """Raise MissingDependencyError unless Parquet can be written."""
    check_parquet("stgraph batch")


def part_path(output: str | os.PathLike[str], part: str) -> Path:
    """The file of a part."""
    return Path(output) / ROWS / f"{part}.parquet"


def write_part(path: Path, columns: Mapping[str, type], rows: Sequence[Row], header: Mapping[str, Any]) -> None:
    """Write the rows as one row group.

    Every part of a task has the same columns and types, also where a column is empty: together they are one dataset.
    """
    import pyarrow
    from pyarrow import parquet

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    known = {**COLUMNS, **columns}
    for row in rows:
        if not row.keys() <= known.keys():
            raise TypeError(f"a row has columns its task does not name: {', '.join(sorted(row.keys() - known.keys()))}")
    fields = [described(pyarrow.field(name, kinds[kind])) for name, kind in known.items()]
    schema = pyarrow.schema(fields, {_HEADER: json.dumps(header, sort_keys=True).encode()})
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in known}, schema=schema)
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary, row_group_size=max(1, len(rows)))


def read_header(path: Path) -> dict[str, Any] | None:
    """What a part was made of; None where there is no part, or a file that is none."""
    import pyarrow
    from pyarrow import parquet

    try:
        found = (parquet.read_schema(path).metadata or {}).get(_HEADER)
        header = None if found is None else json.loads(found)
    except (OSError, ValueError, pyarrow.ArrowException):
        return None
    return header if isinstance(header, dict) else None


def read_parts(output: str | os.PathLike[str]) -> Iterator[Row]:
    """The rows of all parts, in the order of their names.

    Raises
    ------
    InputError
        a file that is no part
    """
    import pyarrow

    for path in sorted((Path(output) / ROWS).glob("*.parquet")):
        try:
            _, rows = read_parquet(path)
        except (OSError, ValueError, NotImplementedError, pyarrow.ArrowException):
            raise InputError(
                f"cannot read {path}: it is no rows of a batch; remove it, and run the batch again"
            ) from None
        yield from rows
