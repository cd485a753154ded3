"""The rows of a probe run: one for each model, setting and ratio; the answers ride along, question by question."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import stgraph
from stgraph.bench.intervals import accuracy_by_video
from stgraph.bench.probe.words import FAMILIES
from stgraph.bench.tables.row_file import RowFile
from stgraph.bench.tables.table import Row, Table

Array = np.ndarray[Any, Any]

# Parameters of st-simdiff and its presets; None where a selector has no such parameter.
PARAMETERS: Mapping[str, type] = {
    "backend": str,
    "split": str,
    "max_size": str,
    "seed": int,
    "tau_sim": float,
    "tau_diff": str,
    "spatial": bool,
    "temporal": bool,
    "events": bool,
    "protect_events": bool,
    "importance": str,
}
KEY: Mapping[str, type] = {
    "model": str,
    "weights": str,
    "videos": str,
    "n_questions": int,
    "selector": str,
    "features": str,
    **PARAMETERS,
    "parameters": str,  # those given beyond these, as JSON
    "retain_ratio": float,
}
COMMUNITIES = ("n_communities", "largest", "n_uncapped", "largest_uncapped", "oversized_ratio", "n_events")
INTERVAL = ("", "_low", "_high")
COLUMNS: Mapping[str, type] = {
    **KEY,
    "stgraph": str,
    "generator": str,
    "library": str,
    "n_videos": int,
    "n_kept": float,
    "exactness": str,
    **dict.fromkeys(COMMUNITIES, float),
    **{f"accuracy{end}": float for end in INTERVAL},
    **{f"{family}{end}": float for family in FAMILIES for end in INTERVAL},
    "answers": str,
}


class ProbeRows(RowFile):
    """Rows by key, in the order they came, and the file that keeps them; see :class:`RowFile`."""

    def __init__(self, path: str | os.PathLike[str] | None = None, fmt: str = "csv", *, restart: bool = False) -> None:
        from stgraph.bench.probe.splits import DIGEST

        same = {"stgraph": stgraph.__version__, "generator": DIGEST}
        super().__init__(Table(COLUMNS, tuple(KEY)), same, path, fmt, restart=restart)


def accuracy_columns(right: Array, families: Sequence[str]) -> Row:
    """Accuracy with its 95 % interval (bootstrap by video) over all questions and for each family, and the answers.

    Parameters
    ----------
    right : [V, Q] bool
    families : Q names
    """
    named = np.array(families)
    row: Row = {}
    for name in ("accuracy", *FAMILIES):
        part = right if name == "accuracy" else right[:, named == name]
        found = accuracy_by_video(part) if part.size else (None, None, None)
        row |= {f"{name}{end}": value for end, value in zip(INTERVAL, found, strict=True)}
    return {**row, "answers": pack(right)}


def pack(right: Array) -> str:
    """[V, Q] bool as hexadecimal digits, video by video."""
    return np.packbits(right).tobytes().hex()


def unpack(row: Mapping[str, Any]) -> Array:
    """[V, Q] bool: the answers of a row."""
    n_videos, n_answers = row["n_videos"], row["n_questions"]
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(row["answers"]), np.uint8), count=n_answers)
    return bits.reshape(n_videos, -1).astype(np.bool_)
