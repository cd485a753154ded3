"""The rows of a sweep: their columns, their key, and a file that is never more than seconds behind."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from time import monotonic
from typing import Any, get_type_hints

import numpy as np

import stgraph
from stgraph.bench import rows as tables
from stgraph.community.quality import PartitionQuality
from stgraph.errors import InputError
from stgraph.tokens import VideoTokens

Row = dict[str, Any]
Key = tuple[Any, ...]
_BLOCK_BYTES = 1 << 23

# "digest" stands for what the dump holds, so that a renamed dump is the same and a changed one is not.
KEY: Mapping[str, type] = {
    "digest": str,
    "backend": str,
    "split": str,
    "seed": int,
    "preset": str,
    "importance": str,
    "max_size": int,
    "resolution": float,
    "protect_events": bool,
    "tau_sim": float,
    "tau_diff": str,
    "retain_ratio": float,
}
_STAGES = ("graph", "detection", "centrality", "events", "reduction")
_FIDELITY = ("fidelity", "event_fidelity", "cut_fidelity")
COLUMNS: Mapping[str, type] = {
    "dump": str,
    **KEY,
    "stgraph": str,
    "library": str,
    "device": str,
    "n_tokens": int,
    "n_edges": int,
    **{field.name: get_type_hints(PartitionQuality)[field.name] for field in fields(PartitionQuality)},
    "mean_centrality": float,
    "event_threshold": float,
    "n_events": int,
    "n_candidates": int,
    "excess": int,
    "n_kept": int,
    "n_representative": int,
    "n_event": int,
    "n_both": int,
    "n_input": int,
    "mean_layer_tokens": float,
    "mean_layer_ratio": float,
    "reference_overlap": float,
    "frame_evenness": float,
    "events_kept_ratio": float,
    "communities_kept_ratio": float,
    "has_fidelity": bool,
    **{f"{name}_{figure}": float for name in _FIDELITY for figure in ("mean", "p5")},
    **{f"{stage}_s": float for stage in _STAGES},
}


def key_of(row: Mapping[str, Any]) -> Key:
    """What tells a row from all others."""
    return tuple(row[name] for name in KEY)


def content_digest(tokens: VideoTokens) -> str:
    """12 hexadecimal digits that stand for features, grid and signals: all that rows depend on."""
    digest = hashlib.blake2b(digest_size=6)
    kind = tokens.grid.kind
    arrays = {f"signal {name}": tokens.signals[name] for name in sorted(tokens.signals)}
    arrays |= {"features": tokens.features, "rows": tokens.grid.rows}
    arrays |= {} if kind is None else {"kind": kind}
    digest.update(f"{tokens.grid.shape}".encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        table = array.reshape(1) if array.ndim == 0 else array
        step = max(1, _BLOCK_BYTES * len(table) // max(array.nbytes, 1))
        for start in range(0, len(table), step):  # block by block: a dump may be larger than the memory
            digest.update(np.ascontiguousarray(table[start : start + step]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


class SweepRows:
    """Rows by key, in the order they came, and the file that keeps them.

    Parameters
    ----------
    path, fmt : the file and its format, one of :data:`stgraph.bench.rows.ROW_FORMATS`; None keeps rows in memory only
    restart : forget what the file holds; it is replaced by the first save
    every_s : seconds between two saves

    Raises
    ------
    InputError
        the file holds anything but rows of a sweep by this version of stgraph
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        fmt: str = "csv",
        *,
        restart: bool = False,
        every_s: float = 3.0,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.fmt = fmt
        self.every_s = every_s
        self.n_new = 0
        self._rows: dict[Key, Row] = {}
        self._saved_at = monotonic()
        self._unsaved = False
        if self.path is not None and os.path.lexists(self.path) and not restart:
            self._rows = {key_of(row): row for row in _read(self.path, fmt)}

    def __len__(self) -> int:
        return len(self._rows)

    def holds(self, key: Key, fidelity: bool) -> bool:
        """Whether that row is there, with the nearest-kept figures where they are wanted."""
        row = self._rows.get(key)
        return row is not None and (row["has_fidelity"] or not fidelity)

    def get(self, keys: Iterable[Key]) -> list[Row]:
        """The rows of these keys that are there."""
        return [self._rows[key] for key in keys if key in self._rows]

    def superseded(self, digests: Mapping[str, str]) -> list[str]:
        """Of the dumps (name -> digest) those of which there are rows from when they held something else."""
        older = {row["dump"] for row in self._rows.values() if digests.get(row["dump"], row["digest"]) != row["digest"]}
        return sorted(older)

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows in, and save all of them if the last save is some seconds ago."""
        for row in rows:
            if row.keys() != COLUMNS.keys():
                raise InputError(f"a row of a sweep has the columns {', '.join(COLUMNS)}; this one {', '.join(row)}")
            self._rows[key_of(row)] = {name: row[name] for name in COLUMNS}
            self.n_new += 1
            self._unsaved = True
        if monotonic() - self._saved_at >= self.every_s:
            self.save()

    def save(self) -> None:
        """Replace the file by one with all rows, in one step; nothing where nothing is new."""
        if self.path is not None and self._unsaved:
            tables.write(self.path, {"rows": list(self._rows.values())}, self.fmt)
            self._unsaved = False
        self._saved_at = monotonic()


def _read(path: Path, fmt: str) -> list[Row]:
    try:
        found = tables.read(path, fmt, COLUMNS)
    except InputError as error:
        raise InputError(f"{error}; name another file with -o, or replace it with --restart") from None
    for row in found:
        if row["stgraph"] != stgraph.__version__:
            raise InputError(
                f"{path} holds rows of stgraph {row['stgraph']}, this is {stgraph.__version__}; "
                "name another file with -o, or replace it with --restart"
            )
    return found
