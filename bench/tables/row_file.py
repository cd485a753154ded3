"""A resumable row file, saved every few seconds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from stgraph.bench.tables.reading import read_rows
from stgraph.bench.tables.table import Key, Row, Table
from stgraph.bench.tables.writing import write
from stgraph.errors import InputError

EVERY_S = 3.0  # between two saves; more where saving takes long, so that it takes a twentieth of the time at most
REMEDY = "name another output, or replace it with --restart"


class RowFile:
    """Rows by key, in insertion order, and their file.

    Parameters
    ----------
    table : the columns, and the key
    same : values shared by all rows, by column; other rows are not mixed with these
    path : the file; None keeps rows in memory only
    fmt : its format, one of :data:`stgraph.bench.tables.writing.ROW_FORMATS`
    restart : ignore the file's rows; the first save replaces it

    Raises
    ------
    InputError
        the file holds other rows, or a row twice
    """

    def __init__(
        self,
        table: Table,
        same: Mapping[str, Any],
        path: str | os.PathLike[str] | None = None,
        fmt: str = "csv",
        *,
        restart: bool = False,
    ) -> None:
        self.table = table
        self.path = None if path is None else Path(path)
        self.fmt = fmt
        self.n_new = 0
        self._rows: dict[Key, Row] = {}
        self._due_at = monotonic() + EVERY_S
        self._unsaved = False
        if self.path is not None and os.path.lexists(self.path) and not restart:
            found = self._read(self.path, same)
            self._rows = {table.key_of(row): row for row in found}
            if len(self._rows) < len(found):
                n_twice = len(found) - len(self._rows)
                raise InputError(f"{path} holds {n_twice:,} rows twice (the same {', '.join(table.key)}); {REMEDY}")

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, keys: Iterable[Key]) -> list[Row]:
        """The rows present for these keys."""
        return [self._rows[key] for key in keys if key in self._rows]

    def all(self) -> list[Row]:
        """Every row."""
        return list(self._rows.values())

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, each replacing one with the same key, and save if the last save was some seconds ago."""
        for row in rows:
            if row.keys() != self.table.columns.keys():
                names = ", ".join(self.table.columns)
                raise InputError(f"a row here has the columns {names}; this one {', '.join(row)}")
            self._rows[self.table.key_of(row)] = self.table.row(row)
            self.n_new += 1
            self._unsaved = True
        if monotonic() >= self._due_at:
            self.save()

    def save(self) -> None:
        """Replace the file, atomically, by one with all rows; does nothing without new rows."""
        start = monotonic()
        if self.path is not None and self._unsaved:
            write(self.path, {"rows": self.all()}, self.fmt)
            self._unsaved = False
        end = monotonic()
        self._due_at = end + max(EVERY_S, 19 * (end - start))

    def _read(self, path: Path, same: Mapping[str, Any]) -> list[Row]:
        try:
            found = read_rows(path, self.fmt, self.table)
        except InputError as error:
            raise InputError(f"{error}; {REMEDY}") from None
        for row in found:
            for name, value in same.items():
                if row[name] != value:
                    raise InputError(f"{path} holds rows of {name} {row[name]}, this is {value}; {REMEDY}")
        return found
