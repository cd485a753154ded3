"""The rows of a sweep: their columns, their key, and the file that keeps them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

import numpy as np

import stgraph
from stgraph.bench.tables.row_file import RowFile
from stgraph.bench.tables.table import Key, Table
from stgraph.community.quality import PartitionQuality
from stgraph.tokens import VideoTokens

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


class SweepRows(RowFile):
    """The rows of a sweep by this version of stgraph; parameters and errors are those of :class:`RowFile`."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        fmt: str = "csv",
        *,
        restart: bool = False,
        every_s: float = 3.0,
    ) -> None:
        same = {"stgraph": stgraph.__version__}
        super().__init__(Table(COLUMNS, tuple(KEY)), same, path, fmt, restart=restart, every_s=every_s)

    def holds(self, key: Key, fidelity: bool) -> bool:
        """Whether that row is there, with the nearest-kept figures where they are wanted."""
        return any(row["has_fidelity"] or not fidelity for row in self.get([key]))

    def superseded(self, digests: Mapping[str, str]) -> list[str]:
        """Of the dumps (name -> digest) those of which there are rows from when they held something else."""
        older = {row["dump"] for row in self.all() if digests.get(row["dump"], row["digest"]) != row["digest"]}
        return sorted(older)
