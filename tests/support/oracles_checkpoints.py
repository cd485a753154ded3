"""What LLaVA-Video and NVILA make of a frame's patches, restated with loops; written apart from the models."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def pooled(frame: Array, mode: str) -> Array:
    """[side, side, d] float64 with stride 2."""
    side = len(frame)
    if mode == "bilinear":
        n = (side + 1) // 2
        return np.stack(
            [
                np.stack([_between(frame, (i + 0.5) * side / n - 0.5, (j + 0.5) * side / n - 0.5) for j in range(n)])
                for i in range(n)
            ]
        )
    kind = {"average": np.mean, "max": np.max}[mode]
    n = side // 2
    return np.stack(
        [np.stack([kind(frame[2 * i : 2 * i + 2, 2 * j : 2 * j + 2], axis=(0, 1)) for j in range(n)]) for i in range(n)]
    )


def _between(frame: Array, y: float, x: float) -> Array:
    """The value between four patches; beyond the edge the edge's."""
    last = len(frame) - 1
    y, x = (min(max(value, 0.0), last) for value in (y, x))
    top, left = int(y), int(x)
    bottom, right = min(top + 1, last), min(left + 1, last)
    upper = frame[top, left] * (left + 1 - x) + frame[top, right] * (x - left)
    lower = frame[bottom, left] * (left + 1 - x) + frame[bottom, right] * (x - left)
    found: Array = upper * (top + 1 - y) + lower * (y - top)
    return found


def with_newlines(frames: list[Array], newline: Array, where: str) -> Array:
    """[n, d]: the tokens of a video in order."""
    tokens = []
    for frame in frames:
        for row in frame:
            tokens += list(row)
            tokens += [newline] if where == "grid" else []
        tokens += [newline] if where == "frame" else []
    tokens += [newline] if where == "one_token" else []
    return np.stack(tokens)


def joined_patches(frame: Array, n: int) -> Array:
    """[ceil(side / n), ceil(side / n), n * n * c]: rows of a square one after the other, zeros beyond the edge."""
    side, _, c = frame.shape
    s = -(-side // n)
    made = np.zeros((s, s, n * n * c))
    for i in range(s * n):
        for j in range(s * n):
            if i < side and j < side:
                place = (i % n) * n + j % n
                made[i // n, j // n, place * c : (place + 1) * c] = frame[i, j]
    return made
