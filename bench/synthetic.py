"""Synthetic token features of any size: shots with persistent regions, moving objects, noise."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def synthetic_tokens(T: int, H: int, W: int, d: int, *, seed: int = 0, noise: float = 0.35) -> Array:
    """[T, H, W, d] float32: every 16 frames a new shot of four still regions, with six objects drifting across.

    Similarities inside regions lie near 1 / (1 + noise^2), those across regions near 0.
    """
    random = np.random.default_rng(seed)
    place = np.moveaxis(np.mgrid[:H, :W], 0, -1).astype(np.float32)
    x = np.empty((T, H, W, d), np.float32)
    for first in range(0, T, 16):
        centres = random.uniform(0, (H, W), (4, 2))
        nearest = np.argmin(((place[:, :, None] - centres) ** 2).sum(-1), axis=-1)
        regions = random.standard_normal((4, d), dtype=np.float32)
        starts, speeds = random.uniform(0, (H, W), (6, 2)), random.uniform(-0.5, 0.5, (6, 2))
        radii, looks = random.uniform(1, 2.5, 6), random.standard_normal((6, d), dtype=np.float32)
        for t in range(first, min(first + 16, T)):
            random.standard_normal(out=x[t], dtype=np.float32)
            x[t] *= noise
            what = regions[nearest]
            for start, speed, radius, look in zip(starts, speeds, radii, looks, strict=True):
                inside = ((place - (start + speed * (t - first))) ** 2).sum(-1) < radius**2
                what[inside] = look
            x[t] += what
    return x
