"""Warm-up: libraries loaded and kernels compiled before anything is timed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from stgraph.bench.synthetic import synthetic_signals
from stgraph.errors import StgraphError
from stgraph.selection.budget import Budget
from stgraph.tokens import VideoTokens

_WARM: set[tuple[Any, ...]] = set()  # what this process has run


def warm_up(
    selectors: Iterable[Any], dtype: np.dtype[Any], device: str = "cpu", signals: Collection[str] | None = None
) -> None:
    """Run each selector on a few tokens, once per process, so that its libraries are loaded and kernels compiled.

    Parameters
    ----------
    selectors : the selectors to be timed; one that fails here will fail again, with its reason, on the real tokens
    dtype : of their features
    device : where these lie
    signals : that their tokens carry; None for every one
    """
    x = np.random.default_rng(0).normal(1.0, 0.3, (3, 4, 4, 8)).astype(dtype)
    whole = synthetic_signals(VideoTokens.from_array(x))
    carried = {name: values for name, values in whole.signals.items() if signals is None or name in signals}
    tokens = VideoTokens(whole.features, whole.grid, carried).to(device)
    for selector in selectors:
        of_backend = tuple(getattr(selector, name, None) for name in ("backend", "split", "exact_count"))
        key = (type(selector), selector.name, *of_backend, str(dtype), device, *sorted(carried))
        if key not in _WARM:
            with suppress(StgraphError):
                selector.select(tokens, Budget(0.5))
            _WARM.add(key)
