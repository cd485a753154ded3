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
from stgraph.files import folder_lock

EVERY_S = 3.0  # between two saves; more where saving takes long, so that it takes a twentieth of the time at most
REMEDY = "name another output, or replace it with --restart"


class RowFile:
    """Rows by key, in insertion order, and their file.

    Several processes may write one file, each its own share of the rows: whatever another has written since is taken in
    before the file is replaced.

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
        self._same = same
        self._rows: dict[Key, Row] = {}
        self._left = _stamp(self.path)
        self._due_at = monotonic() + EVERY_S
        self._unsaved = False
        if self.path is not None and os.path.lexists(self.path) and not restart:
            found = self._read(self.path)
            self._rows = {table.key_of(row): row for row in found}
            if len(self._rows) < len(found):
                n_twice = len(found) - len(self._rows)
                raise InputError(f"{path} holds {n_twice:,} rows twice (the same {', '.join(table.key)}); {REMEDY}")
        self._known = set(self._rows)  # also those deleted since

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
            key = self.table.key_of(row)
            self._rows[key] = self.table.row(row)
            self._known.add(key)
            self.n_new += 1
            self._unsaved = True
        if monotonic() >= self._due_at:
            self.save()

    def save(self) -> None:
        """Replace the file, atomically, by one with all rows; does nothing without new rows.

        Raises
        ------
        InputError
            it cannot be written, or another process has written rows of another kind to it
        """
        start = monotonic()
        if self.path is not None and self._unsaved:
            with folder_lock(self.path.parent):
                if _stamp(self.path) not in (None, self._left):
                    others = {self.table.key_of(row): row for row in self._read(self.path)}
                    self._rows |= {key: row for key, row in others.items() if key not in self._known}
                    self._known |= others.keys()
                write(self.path, {"rows": self.all()}, self.fmt)
                self._left = _stamp(self.path)
            self._unsaved = False
        end = monotonic()
        self._due_at = end + max(EVERY_S, 19 * (end - start))

    def _read(self, path: Path) -> list[Row]:
        try:
            found = read_rows(path, self.fmt, self.table)
        except InputError as error:
            raise InputError(f"{error}; {REMEDY}") from None
        for row in found:
            for name, value in self._same.items():
                if row[name] != value:
                    raise InputError(f"{path} holds rows of {name} {row[name]}, this is {value}; {REMEDY}")
        return found


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written; None without a file."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return found and (found.st_ino, found.st_size, found.st_mtime_ns)
