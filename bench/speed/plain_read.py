"""Physical limit: one read of the features, as fast as the machine allows with the same threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.threads import num_threads, run_blocks


@compiled(fastmath=True)
def _sum_rows(rows, a, b):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for i in range(a, b):
        row = rows[i]
        part = np.float32(0)
        for k in range(row.size):
            part += row[k]
        total += part
    return total


@compiled()
def _or_rows(rows, a, b):  # type: ignore[no-untyped-def]
    total = np.uint64(0)
    for i in range(a, b):
        row = rows[i]
        part = np.uint64(0)
        for k in range(row.size):
            part |= row[k]
        total |= part
    return total


def plain_reads(x: Array) -> dict[str, Callable[[], object]]:
    """Ways to read a contiguous [T, H, W, d] array once; the fastest is "one read"."""
    rows = x.reshape(-1, x.shape[-1])
    n, parts = rows.shape[0], num_threads()
    blocks = [(n * i // parts, n * (i + 1) // parts) for i in range(parts)]
    words = rows.view(np.uint64 if rows.shape[1] * rows.itemsize % 8 == 0 else f"u{rows.itemsize}")
    reads: dict[str, Callable[[], object]] = {"or": lambda: run_blocks(lambda b: _or_rows(words, *b), blocks)}
    if x.dtype == np.float32:
        reads["sum"] = lambda: run_blocks(lambda b: _sum_rows(rows, *b), blocks)
        reads["numpy sum"] = lambda: run_blocks(lambda b: rows[b[0] : b[1]].sum(), blocks)
    return reads
