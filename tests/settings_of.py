"""Settings, pages and clips with thumbnails, as the tests of pages and figures need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from clips import clip

from stgraph import Budget, VideoTokens
from stgraph.selection.st_simdiff import StSimDiff
from stgraph.viz.setting import Setting

RATIOS = (0.1, 0.3)


def setting(
    tokens: VideoTokens, backend: str = "lattice-components", ratios: Sequence[float] = RATIOS, **options: Any
) -> Setting:
    """What one backend makes of the tokens."""
    one = StSimDiff(budget=Budget(ratios[0]), backend=backend, **options)
    analysis, whole = one.analyse(tokens), replace(one, reduce=False)
    return Setting(
        analysis,
        {r: one.select_from(analysis, Budget(r)) for r in ratios},
        {r: whole.select_from(analysis, Budget(r)) for r in ratios},
    )


def settings(tokens: VideoTokens, **options: Any) -> list[Setting]:
    """Two backends with two splitters each."""
    return [
        setting(tokens, backend, split=split, **options)
        for backend in ("lattice-components", "igraph-leiden")
        for split in ("tree", "raster")
    ]


def with_pictures(tokens: VideoTokens, broken: int | None = None) -> VideoTokens:
    """The tokens with a thumbnail of another colour for each frame; that of the frame ``broken`` is no JPEG."""
    from stgraph.vlm.thumbnails import jpeg, thumbnail_signals

    files = [jpeg(np.full((36, 64, 3), (40 + 30 * t, 200 - 25 * t, 90), np.uint8)) for t in range(tokens.grid.T)]
    if broken is not None:
        files[broken] = b"no JPEG"
    signals = {**tokens.signals, **thumbnail_signals(files)}
    return VideoTokens(tokens.features, tokens.grid, signals, tokens.metadata)


def filmed(**metadata: Any) -> VideoTokens:
    """The clip of most tests, with thumbnails."""
    pytest.importorskip("av", reason="needs PyAV to make thumbnails")
    return with_pictures(clip(**metadata))
