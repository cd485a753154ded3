"""Device timing: events around each piece, every piece once per round, then medians."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any

from stgraph.bench.speed.timing import Work


def device_rounds(pieces: Mapping[str, Work], n: int, device: Any) -> dict[str, float]:
    """Median seconds of each piece over ``n`` rounds, after two uncounted ones (kernels compile, memory is allocated).

    On a CUDA device from event to event on the current stream, which includes the gaps in which the device waits for
    the host. Before each piece a large array is written: it takes the place of what the caches held, and gives the host
    a lead of a tenth of a millisecond, so that short work is not timed by its launch. Elsewhere by the clock.
    """
    elapsed = _by_events(device) if str(device).startswith("cuda") else _by_the_clock
    taken: dict[str, list[float]] = {name: [] for name in pieces}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for i in range(n + 2):
            for name, work in pieces.items():
                seconds = elapsed(work)
                if i > 1:
                    taken[name].append(seconds)
    finally:
        if collecting:
            gc.enable()
    return {name: median(values) for name, values in taken.items()}


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


def _by_the_clock(work: Work) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
