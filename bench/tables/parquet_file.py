"""Parquet files of rows, written and read with PyArrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stgraph.columns import COLUMNS
from stgraph.errors import InputError, missing_dependency

MAX_PARQUET_VALUES = 50_000_000  # rows x columns; some 4 GB as Python objects


def write_parquet(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows; missing columns of a row are empty.

    Raises
    ------
    MissingDependencyError
        PyArrow is not installed
    """
    pyarrow, parquet = _arrow("Parquet output")
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in columns})
    parquet.write_table(table.cast(pyarrow.schema([described(field) for field in table.schema])), path)


def described(field: Any) -> Any:
    """An Arrow field, with the meaning and unit of a described column in its metadata."""
    column = COLUMNS.get(field.name)
    if column is None:
        return field
    return field.with_metadata({"meaning": column.meaning, **({"unit": column.unit} if column.unit else {})})


def read_parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Column names and rows, without further checks.

    A few bytes of Parquet can expand to any number of values, so the number is checked first.

    Raises
    ------
    InputError
        the file holds more than :data:`MAX_PARQUET_VALUES` values
    OSError, ValueError, NotImplementedError
        the file cannot be read, or does not hold rows; some are PyArrow's own
    MissingDependencyError
        PyArrow is not installed
    """
    pyarrow, parquet = _arrow("Reading Parquet")
    kinds = pyarrow.types
    with parquet.ParquetFile(path) as file:  # this one file: no folder of parts, no columns guessed from its path
        schema, claims = file.schema_arrow, file.metadata
    groups = [claims.row_group(i).num_rows for i in range(claims.num_row_groups)]
    if min(groups, default=0) < 0 or sum(groups) != claims.num_rows:
        raise ValueError("the groups of rows are not all the rows")
    n_rows = claims.num_rows
    if not all(kinds.is_primitive(kind) or kinds.is_string(kind) or kinds.is_null(kind) for kind in schema.types):
        raise ValueError("a column holds more than one value per row")
    if n_rows * len(schema) > MAX_PARQUET_VALUES:
        raise InputError(f"cannot read {path}: it holds {n_rows:,} rows of {len(schema)} columns; cut it into parts")
    texts = [name for name, kind in zip(schema.names, schema.types, strict=True) if kinds.is_string(kind)]
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        table = file.read()
    table.validate(full=True)  # PyArrow trusts what it reads, such as text that is not UTF-8, or missing values
    columns = [_values(column) for column in table.columns]
    return schema.names, [dict(zip(schema.names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _values(column: Any) -> list[Any]:
    """The values of an Arrow column; equal texts share one object, as in the file."""
    values: list[Any] = []
    for chunk in column.chunks:
        if hasattr(chunk, "dictionary"):
            texts = chunk.dictionary.to_pylist()
            values += [None if i is None else texts[i] for i in chunk.indices.to_pylist()]
        else:
            values += chunk.to_pylist()
    return values


def check_parquet(feature: str = "Parquet output") -> None:
    """Raise MissingDependencyError unless Parquet can be written."""
    _arrow(feature)


def _arrow(feature: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise missing_dependency(feature, "pyarrow", "arrow") from None
    return pyarrow, parquet
