"""Small videos with encoder signals, for the selectors that read them."""

from __future__ import annotations

from typing import Any

import numpy as np

import stgraph
from stgraph import Selection, VideoTokens
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens

Array = np.ndarray[Any, Any]
Shape = tuple[int, int, int]


def video(shape: Shape = (5, 6, 7), seed: int = 1, **metadata: Any) -> VideoTokens:
    tokens = VideoTokens.from_array(synthetic_tokens(*shape, 12, seed=seed), metadata=metadata)
    return synthetic_signals(tokens, seed=seed, d_encoder=24)


def replaced(tokens: VideoTokens, metadata: dict[str, Any] | None = None, **signals: Array) -> VideoTokens:
    """The tokens with other signals, and no encoder signal but these where the encoder's grid is another."""
    kept = tokens.signals if metadata is None else {}
    return VideoTokens(tokens.features, tokens.grid, {**kept, **signals}, metadata or tokens.metadata)


def select(name: str, tokens: VideoTokens, budget: float | int, **parameters: Any) -> Selection:
    limits = {"n_keep": budget} if isinstance(budget, int) else {"retain_ratio": budget}
    return stgraph.selector(name, **limits, **parameters).select(tokens)


def frames(kept: Selection) -> Array:
    """[T] tokens kept in each frame."""
    return kept.mask.sum(axis=(1, 2))
