"""Lattices of made-up similarities."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def noise_lattice(shape: tuple[int, int, int], seed: int = 0) -> Array:
    """Similarities at random, NaN where the lattice ends."""
    similarity = np.random.default_rng(seed).uniform(-1, 1, (3, *shape)).astype(np.float32)
    similarity[0, :, :, -1] = similarity[1, :, -1] = similarity[2, -1] = np.nan
    return similarity
