"""Rows of a sweep and their file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import numpy as np

import stgraph
from stgraph.bench.tables.experiments import SWEEP
from stgraph.bench.tables.row_file import RowFile
from stgraph.bench.tables.table import Key
from stgraph.tokens import VideoTokens

_BLOCK_BYTES = 1 << 23


def content_digest(tokens: VideoTokens) -> str:
    """Digest (12 hexadecimal digits) of features, grid and signals, everything that rows depend on."""
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

    def __init__(self, path: str | os.PathLike[str] | None = None, fmt: str = "csv", *, restart: bool = False) -> None:
        super().__init__(SWEEP, {"stgraph": stgraph.__version__}, path, fmt, restart=restart)

    def holds(self, key: Key, fidelity: bool) -> bool:
        """Whether the row is present, with the nearest-kept figures if wanted."""
        return any(row["has_fidelity"] or not fidelity for row in self.get([key]))

    def superseded(self, digests: Mapping[str, str]) -> list[str]:
        """The dumps (name -> digest) with rows of earlier content."""
        older = {row["dump"] for row in self.all() if digests.get(row["dump"], row["digest"]) != row["digest"]}
        return sorted(older)
