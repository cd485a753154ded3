"""Settings, pages and clips with thumbnails, as the tests of pages and figures need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from clips import clip

from stgraph import Setting, VideoTokens, keep
from stgraph.viz.pages.shown import Shown, shown
from stgraph.viz.pages.view import view_page

RATIOS = (0.1, 0.3)


def setting(
    tokens: VideoTokens, backend: str = "lattice-components", ratios: Sequence[float] = RATIOS, **options: Any
) -> Shown:
    """What one backend makes of the tokens."""
    (one,) = shown(keep(tokens, Setting(parameters={"backend": backend, **options}), ratios))
    return one


def page_of(tokens: VideoTokens, settings: Sequence[Shown], name: str = "") -> str:
    """The page of some settings."""
    return view_page(tokens, [kept for one in settings for kept in one.kept.values()], name=name)


def settings(tokens: VideoTokens, **options: Any) -> list[Shown]:
    """Two backends with two splitters each."""
    return [
        setting(tokens, backend, split=split, **options)
        for backend in ("lattice-components", "igraph-leiden")
        for split in ("tree", "raster")
    ]


def with_pictures(tokens: VideoTokens, broken: int | None = None) -> VideoTokens:
    """The tokens with a thumbnail of another colour for each frame; that of the frame ``broken`` is no JPEG."""
    from stgraph.video.thumbnails import jpeg, thumbnail_signals

    files = [jpeg(np.full((36, 64, 3), (40 + 30 * t, 200 - 25 * t, 90), np.uint8)) for t in range(tokens.grid.T)]
    if broken is not None:
        files[broken] = b"no JPEG"
    signals = {**tokens.signals, **thumbnail_signals(files)}
    return VideoTokens(tokens.features, tokens.grid, signals, tokens.metadata)


def filmed(**metadata: Any) -> VideoTokens:
    """The clip of most tests, with thumbnails."""
    pytest.importorskip("av", reason="needs PyAV to make thumbnails")
    return with_pictures(clip(**metadata))
