"""The rows of a task: their columns, their key, and the file that keeps them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import stgraph
from stgraph.bench.tables.row_file import RowFile
from stgraph.bench.tables.table import Key, Row, Table

# "digest" stands for the line of the task file, so that a changed question is asked again.
KEY: Mapping[str, type] = {
    "digest": str,
    "selector": str,
    "backend": str,
    "split": str,
    "parameters": str,
    "retain_ratio": float,
    "frames": int,
    "fps": float,
    "dtype": str,
}
REPORTED: Mapping[str, type] = {  # what a selection may or may not report of its communities
    "n_communities": int,
    "largest_community": int,
    "oversized_ratio": float,
}
TIMES = ("select_s", "probe_s", "total_s", "prepare_s")
COLUMNS: Mapping[str, type] = {
    "id": str,
    "video": str,
    "family": str,
    **KEY,
    "model": str,
    "stgraph": str,
    "transformers": str,
    "device": str,
    "computed_in": str,
    "video_bytes": int,
    "n_frames": int,
    "n_options": int,
    "answer": str,
    "prediction": str,
    "correct": bool,
    "p_answer": float,
    "p_letters": float,
    "n_visual": int,
    "n_candidates": int,
    "n_kept": int,
    "exactness": str,
    **REPORTED,
    **dict.fromkeys(TIMES, float),
    "error": str,
}


class TaskRows(RowFile):
    """The rows of one model by this version of stgraph; parameters and errors are those of :class:`RowFile`."""

    def __init__(
        self,
        model: str,
        path: str | os.PathLike[str] | None = None,
        fmt: str = "csv",
        *,
        restart: bool = False,
        every_s: float = 3.0,
    ) -> None:
        self.model = model
        same: dict[str, Any] = {"stgraph": stgraph.__version__, "model": model}
        super().__init__(Table(COLUMNS, tuple(KEY)), same, path, fmt, restart=restart, every_s=every_s)

    def holds(self, key: Key, video_bytes: int | None) -> bool:
        """Whether that row is there, answered, and from a video of this size: failures are tried again."""
        return any(row["error"] is None and row["video_bytes"] == video_bytes for row in self.get([key]))


def failed(rows: list[Row]) -> list[Row]:
    """Those that hold an error in place of an answer."""
    return [row for row in rows if row["error"] is not None]
