"""Work on one frame after the other, from the same source in host memory and on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stgraph.devices import is_tensor, to_host


def each_frame(x: Any, work: Callable[[int], Any]) -> list[Any]:
    """``work(t)`` for each frame of ``x`` ([T, ...]): on all threads in host memory, one after the other on a GPU,
    whose current stream is one thread's."""
    if is_tensor(x):
        return [work(t) for t in range(len(x))]
    from stgraph.kernels.cpu.threads import run_blocks

    return run_blocks(work, range(len(x)))


def joined(parts: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Arrays one after the other in host memory; of tensors in one transfer."""
    return to_host(sys.modules["torch"].cat(tuple(parts))) if is_tensor(parts[0]) else np.concatenate(parts)


def stacked(parts: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Equally shaped arrays as one in host memory; of tensors in one transfer."""
    return to_host(sys.modules["torch"].stack(tuple(parts))) if is_tensor(parts[0]) else np.stack(parts)
