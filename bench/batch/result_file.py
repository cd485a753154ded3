"""Result files: one Parquet file of rows per input, written atomically, with their origin in the header."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stgraph.bench.batch.jobs import Row
from stgraph.bench.tables.experiments import BATCH
from stgraph.bench.tables.parquet_file import check_parquet, described
from stgraph.bench.tables.reading import read_tables
from stgraph.errors import InputError
from stgraph.files import atomic_path
from stgraph.plain_json import parse_json

ROWS = "rows"  # the folder of the dataset
_HEADER = b"stgraph.batch"


def check_arrow() -> None:
    """Raise MissingDependencyError unless Parquet can be written."""
    check_parquet("stgraph batch")


def result_path(output: str | os.PathLike[str], result: str) -> Path:
    """Path of the row file of an input."""
    return Path(output) / ROWS / f"{result}.parquet"


def write_result(path: Path, columns: Mapping[str, type], rows: Sequence[Row], header: Mapping[str, Any]) -> None:
    """Write the rows as one row group.

    Every file of a job has the same columns and types, even for empty columns, so that together they form a dataset.
    """
    import pyarrow
    from pyarrow import parquet

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    known = {**BATCH.columns, **columns}
    for row in rows:
        if not row.keys() <= known.keys():
            raise TypeError(f"a row has columns its job does not name: {', '.join(sorted(row.keys() - known.keys()))}")
    fields = [described(pyarrow.field(name, kinds[kind])) for name, kind in known.items()]
    schema = pyarrow.schema(fields, {_HEADER: json.dumps(header, sort_keys=True).encode()})
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in known}, schema=schema)
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary, row_group_size=max(1, len(rows)))


def read_header(path: Path) -> dict[str, Any] | None:
    """Origin of the rows; None if the file is missing or is not a result file."""
    import pyarrow
    from pyarrow import parquet

    try:
        found = (parquet.read_schema(path).metadata or {}).get(_HEADER)
        header = None if found is None else parse_json(found.decode())
    except (OSError, ValueError, pyarrow.ArrowException):
        return None
    return header if isinstance(header, dict) else None


def read_results(output: str | os.PathLike[str]) -> Iterator[Row]:
    """Rows of all inputs, in order of file names.

    Raises
    ------
    InputError
        a file does not hold rows of a batch
    """
    for path in sorted((Path(output) / ROWS).glob("*.parquet")):
        try:
            yield from read_tables(path)["rows"]
        except InputError as error:
            raise InputError(f"{error}; remove it, and run the batch again") from None
