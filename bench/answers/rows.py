"""Rows of answers to a task's questions, and their file."""

from __future__ import annotations

import os

import stgraph
from stgraph.bench.tables.experiments import ANSWERS
from stgraph.bench.tables.row_file import RowFile
from stgraph.bench.tables.table import Key, Row


class TaskRows(RowFile):
    """The rows of one model by this version of stgraph; parameters and errors are those of :class:`RowFile`."""

    def __init__(
        self, model: str, path: str | os.PathLike[str] | None = None, fmt: str = "csv", *, restart: bool = False
    ) -> None:
        self.model = model
        super().__init__(ANSWERS, {"stgraph": stgraph.__version__, "model": model}, path, fmt, restart=restart)

    def holds(self, key: Key, video_bytes: int | None) -> bool:
        """Whether the row is present, answered, and from a video of this size; failures are tried again."""
        return any(row["error"] is None and row["video_bytes"] == video_bytes for row in self.get([key]))


def failed(rows: list[Row]) -> list[Row]:
    """The rows that hold an error instead of an answer."""
    return [row for row in rows if row["error"] is not None]
