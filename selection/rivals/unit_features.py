"""Unit features: rows scaled to unit length."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype, concatenated, is_tensor, over_positive
from stgraph.kernels import kernels_for
from stgraph.tokens import VideoTokens


def unit_rows(rows: Any, norms: Any) -> Any:
    """[n, d] float32, where they lie: the rows (of any feature dtype) divided by their norms ([n] float64); zero rows
    stay zero."""
    if is_tensor(rows):
        return astype(over_positive(astype(rows, "float64"), norms[:, None]), "float32")
    safe = bool(((norms == 0) | ((norms > 1e-15) & (norms < 1e15))).all())
    factors = 1 / np.where(norms > 0, norms, 1)
    if safe:
        units: Array = rows.astype(np.float32)
        units *= factors.astype(np.float32)[:, None]
        return units
    return (rows.astype(np.float64) * factors[:, None]).astype(np.float32)


def unit_tokens(tokens: VideoTokens) -> Any:
    """[N, d] float32: the patches' unit features, on the device of the tokens; zero tokens stay zero.

    Raises
    ------
    FeatureError
        a token holds NaN or Inf (the first one is named)
    """
    x = tokens.lattice
    norms = kernels_for(x, "frame_similarity").frame_cosines(x, np.full(tokens.grid.T, -1))[1]
    if not tokens.on_gpu:
        return unit_rows(x.reshape(-1, tokens.dimension), norms.reshape(-1))
    return concatenated(tuple(astype(wide_units(frame.reshape(-1, tokens.dimension)), "float32") for frame in x))


def wide_units(rows: Any) -> Any:
    """[n, d] float64: the rows, of any feature dtype and size, at unit length, on their device; zero rows stay zero."""
    wide = astype(rows, "float64")
    return over_positive(wide, (wide * wide).sum(axis=1, keepdims=True) ** 0.5)
