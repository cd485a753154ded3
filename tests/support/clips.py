"""A short clip with all a comparison has to tell apart: two shots of two regions, noise, a cut, a dark token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stgraph import VideoTokens

Array = np.ndarray[Any, Any]

SHAPE = (6, 5, 6)
CUT_FRAME = 3


def clip(seed: int = 3, **metadata: Any) -> VideoTokens:
    """180 tokens of dimension 12 at one frame a second; the shot changes between the frames at 2 s and 3 s."""
    rng = np.random.default_rng(seed)
    T, _, W = SHAPE
    looks = rng.standard_normal((2, 2, 12))
    shot, side = np.arange(T) >= CUT_FRAME, np.arange(W) >= 4
    still = looks[shot.astype(int)[:, None, None], side.astype(int)[None, None, :]]
    x = np.broadcast_to(still, (*SHAPE, 12)) + 0.4 * rng.standard_normal((*SHAPE, 12))
    x[4, 2, 2] = 0
    times = {"frame_time": np.arange(T, dtype=np.float64), "shot_cuts_s": np.array([2.4])}
    return VideoTokens.from_array(x.astype(np.float32), signals=times, metadata=metadata)


def saved(path: Path, seed: int = 3, **metadata: Any) -> str:
    """The path of a clip written there, for a command line."""
    clip(seed, **metadata).save(path)
    return str(path)


def unit_rows(tokens: VideoTokens) -> Array:
    """[N, d] float64 of length 1, or 0 where the token is 0."""
    rows = tokens.lattice.reshape(-1, tokens.dimension).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def nearest(tokens: VideoTokens, mask: Array) -> Array:
    """Cosine of every token to the nearest kept one, in float64."""
    unit = unit_rows(tokens)
    best: Array = (unit @ unit[mask].T).max(axis=1)
    return best
