"""Ranges of frames small enough to be held in float64 beside the features."""

from __future__ import annotations

from typing import Any

_ELEMENTS = 1 << 25  # 256 MiB of float64


def chunks(x: Any) -> list[tuple[int, int]]:
    """Half-open ranges of the first axis of ``x``, at least one long, of some 2^25 elements."""
    size = max(1, _ELEMENTS // max(1, x[0].numel()))
    return [(a, min(a + size, len(x))) for a in range(0, len(x), size)]
