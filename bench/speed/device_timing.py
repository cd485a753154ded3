"""Device timing: events around each piece, every piece once per round, then medians."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stgraph.bench.speed.timing import Work, rounds


def device_rounds(pieces: Mapping[str, Work], n: int, device: Any) -> dict[str, float]:
    """Median seconds of each piece over ``n`` rounds, after two uncounted ones (kernels compile, memory is allocated).

    On a CUDA device, time is measured between events on the current stream, including gaps in which the device waits
    for the host. Before each piece a large array is written: it flushes the caches, and gives the host a lead of a
    tenth of a millisecond, so that short work is not timed by its launch. Elsewhere the clock is used.
    """
    return rounds(pieces, n, _by_events(device) if str(device).startswith("cuda") else None, uncounted=2)


def _by_events(device: Any) -> Callable[[Work], float]:
    import torch

    large = torch.empty(1 << 29, dtype=torch.int8, device=device)

    def elapsed(work: Work) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        large.zero_()
        start.record()
        work()
        end.record()
        torch.cuda.synchronize(device)
        return float(start.elapsed_time(end)) / 1e3

    return elapsed
