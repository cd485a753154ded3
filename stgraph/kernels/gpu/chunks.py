"""Features in float64, a chunk at a time to limit memory."""

from __future__ import annotations

from typing import Any

import torch

ELEMENTS = 1 << 25  # 256 MiB of float64


def chunks(x: Any) -> list[tuple[int, int]]:
    """Half-open ranges of the first axis of ``x``, of about 2^25 elements each, at least one long."""
    size = max(1, ELEMENTS // max(1, x[0].numel()))
    return [(a, min(a + size, len(x))) for a in range(0, len(x), size)]


def units(rows: Any) -> Any:
    """[..., d] float64 rows scaled to unit length, from any feature dtype; zero rows stay zero."""
    wide = rows.double()
    lengths = (wide * wide).sum(-1, keepdim=True).sqrt()
    return torch.where(lengths > 0, wide / torch.where(lengths > 0, lengths, 1.0), 0.0)
