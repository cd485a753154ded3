"""Tables: names and types of columns, and the key that identifies a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stgraph.columns import COLUMNS

Row = dict[str, Any]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """The columns of one kind of rows.

    Attributes
    ----------
    columns : name -> str, int, float or bool, in the order of writing; a value may be missing (None)
    key : the columns that identify a row; empty if rows are not identified

    Examples
    --------
    >>> table = Table({"backend": str, "seed": int, "seconds": float}, key=("backend", "seed"))
    >>> table.key_of({"backend": "igraph-leiden", "seed": 0, "seconds": 0.2})
    ('igraph-leiden', 0)
    """

    columns: Mapping[str, type]
    key: Sequence[str] = ()

    @classmethod
    def of(cls, names: Iterable[str], key: Sequence[str] = (), **kinds: type) -> Table:
        """A table of columns described in :data:`stgraph.columns.COLUMNS`.

        ``kinds``: types that differ here, such as float for a mean of counts
        """
        return cls({name: kinds.get(name) or COLUMNS[name].kind for name in names}, tuple(key))

    def without(self, *names: str) -> Table:
        """The table without these columns."""
        columns = {name: kind for name, kind in self.columns.items() if name not in names}
        return Table(columns, tuple(name for name in self.key if name not in names))

    def key_of(self, row: Mapping[str, Any]) -> Key:
        """The key of a row."""
        return tuple(row[name] for name in self.key)

    def row(self, values: Mapping[str, Any]) -> Row:
        """The values as a row, with every column in order, None if missing from ``values``.

        Raises
        ------
        ValueError
            ``values`` has a column the table lacks
        """
        odd = [name for name in values if name not in self.columns]
        if odd:
            raise ValueError(f"a row here has the columns {', '.join(self.columns)}; not {', '.join(odd)}")
        return {name: values.get(name) for name in self.columns}
