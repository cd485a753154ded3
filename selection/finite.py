"""Check for NaN and Inf in features: every selector refuses them, even one that does not read the features."""

from __future__ import annotations

import numpy as np

from stgraph.errors import bad_token
from stgraph.tokens import VideoTokens


def check_features(tokens: VideoTokens) -> None:
    """Check every token in one pass, for selectors that do not read all features. Waits for a GPU once.

    Raises
    ------
    FeatureError
        a token of the lattice holds NaN or Inf (the first one is named)
    """
    x, (T, H, W) = tokens.lattice, tokens.grid.shape
    if not tokens.on_gpu:
        from stgraph.kernels.cpu.frame_similarity import frame_cosines

        frame_cosines(x, np.full(T, -1))
        return
    good = x.isfinite().all(dim=-1).reshape(-1)
    if not bool(good.all()):
        raise bad_token(int((~good).nonzero()[0]), H, W)
