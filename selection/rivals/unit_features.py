"""Unit features: rows scaled to unit length."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]


def unit_rows(rows: Array, norms: Array) -> Array:
    """[n, d] float32: the rows (of any feature dtype) divided by their norms ([n] float64); zero rows stay zero."""
    safe = bool(((norms == 0) | ((norms > 1e-15) & (norms < 1e15))).all())
    factors = 1 / np.where(norms > 0, norms, 1)
    if safe:
        units: Array = rows.astype(np.float32)
        units *= factors.astype(np.float32)[:, None]
        return units
    return (rows.astype(np.float64) * factors[:, None]).astype(np.float32)


def unit_tokens(tokens: VideoTokens) -> Array:
    """[N, d] float32: the patches' unit features; zero ones stay zero.

    Raises
    ------
    FeatureError
        a token holds NaN or Inf (the first one is named)
    """
    from stgraph.kernels.cpu.frame_similarity import frame_cosines

    norms = frame_cosines(tokens.lattice, np.full(tokens.grid.T, -1))[1]
    return unit_rows(tokens.lattice.reshape(-1, tokens.dimension), norms.reshape(-1))


def wide_units(rows: Array) -> Array:
    """[n, d] float64: the rows, of any feature dtype and size, at unit length; zero ones stay zero."""
    wide: Array = rows.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    np.divide(wide, lengths, out=wide, where=lengths > 0)
    return wide
