"""Rows of a probe run: one per model, setting and ratio, with the answer to every question."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import stgraph
from stgraph.aliases import Array
from stgraph.bench.intervals import accuracy_by_video
from stgraph.bench.probe.words import FAMILIES
from stgraph.bench.tables.row_file import RowFile
from stgraph.bench.tables.table import Row, Table
from stgraph.columns import METHOD

PARAMETERS = METHOD  # also of its presets; None where a selector has no such parameter
COMMUNITIES = ("n_communities", "largest", "n_uncapped", "largest_uncapped", "oversized_ratio", "n_events")
INTERVAL = ("", "_low", "_high")
_ACCURACY = tuple(f"accuracy{end}" for end in INTERVAL)
_FAMILIES = tuple(f"{family}{end}" for family in FAMILIES for end in INTERVAL)
_KEY = ("model", "weights", "videos", "n_questions", "selector", "features", *PARAMETERS, "parameters", "retain_ratio")
PROBE = Table.of(
    (
        *(*_KEY, "stgraph", "generator", "library", "n_videos", "n_kept", "exactness", *COMMUNITIES),
        *(*_ACCURACY, *_FAMILIES, "answers"),
    ),
    _KEY,
    # Means over videos; "max_size" also says "sqrt"; the accuracy in a family of questions.
    **dict.fromkeys(("n_kept", *COMMUNITIES, *_FAMILIES), float),
    max_size=str,
)


class ProbeRows(RowFile):
    """Rows by key, in insertion order, and their file; see :class:`RowFile`."""

    def __init__(self, path: str | os.PathLike[str] | None = None, fmt: str = "csv", *, restart: bool = False) -> None:
        from stgraph.bench.probe.splits import DIGEST

        same = {"stgraph": stgraph.__version__, "generator": DIGEST}
        super().__init__(PROBE, same, path, fmt, restart=restart)


def accuracy_columns(right: Array, families: Sequence[str]) -> Row:
    """Accuracy with its 95 % interval (bootstrap by video) over all questions and for each family, and the answers.

    Parameters
    ----------
    right : [V, Q] bool
    families : the Q families' names
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
