"""Timing in rounds: every piece once per round, so that slow moments of the machine affect all equally; then
medians."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

Work = Callable[[], object]


def by_clock(clock: Callable[[], float] = perf_counter) -> Callable[[Work], float]:
    """Seconds that work takes by ``clock``."""

    def elapsed(work: Work) -> float:
        start = clock()
        work()
        return clock() - start

    return elapsed


def rounds(
    pieces: Mapping[str, Work], n: int, elapsed: Callable[[Work], float] | None = None, uncounted: int = 1
) -> dict[str, float]:
    """Median seconds of each piece over ``n`` rounds as ``elapsed`` times it, after ``uncounted`` rounds."""
    seconds_of = elapsed or by_clock()
    taken: dict[str, list[float]] = {name: [] for name in pieces}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for i in range(uncounted + n):
            for name, work in pieces.items():
                seconds = seconds_of(work)
                if i >= uncounted:
                    taken[name].append(seconds)
    finally:
        if collecting:
            gc.enable()
    return {name: median(values) for name, values in taken.items()}


def once(work: Work, limit_s: float = 2.0, most: int = 5) -> float:
    """Median seconds of slow work: repeated until ``limit_s`` have passed, at least once, at most ``most`` times."""
    taken: list[float] = []
    while not taken or (sum(taken) < limit_s and len(taken) < most):
        start = perf_counter()
        work()
        taken.append(perf_counter() - start)
    return median(taken)
