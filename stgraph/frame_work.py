"""Frame-by-frame work, with the same code in host memory and on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stgraph.devices import is_tensor, to_host


def each_frame(x: Any, work: Callable[[int], Any]) -> list[Any]:
    """``work(t)`` for each frame of ``x`` ([T, ...]): on all threads in host memory, sequentially on a GPU, whose
    current stream belongs to one thread."""
    if is_tensor(x):
        return [work(t) for t in range(len(x))]
    from stgraph.kernels.cpu.threads import run_blocks

    return run_blocks(work, range(len(x)))


def joined(parts: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Arrays concatenated in host memory; tensors are copied in one transfer."""
    return to_host(sys.modules["torch"].cat(tuple(parts))) if is_tensor(parts[0]) else np.concatenate(parts)


def stacked(parts: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Arrays of equal shape stacked in host memory; tensors are copied in one transfer."""
    return to_host(sys.modules["torch"].stack(tuple(parts))) if is_tensor(parts[0]) else np.stack(parts)
