"""Cosines along the lattice edges of one more frame, for videos that arrive frame by frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.neighbours import BOTTOM, RIGHT, TEMPORAL, _products, columns_ahead, weights_of_products
from stgraph.kernels.cpu.rows import row_source
from stgraph.kernels.cpu.threads import num_threads, run_blocks
from stgraph.kernels.cpu.vector_loops import lead_of


class FrameCosines(NamedTuple):
    """Cosines and norms that one more frame adds to a video.

    Attributes
    ----------
    right, bottom : [H, W] float32, to the neighbours in the frame; NaN where it ends
    before : [H, W] float32, to the same position one frame before; NaN in the first frame
    norms : [H, W] float64
    """

    right: Array
    bottom: Array
    before: Array
    norms: Array


def next_frame_cosines(x: Array, norms_before: Array | None) -> FrameCosines | int:
    """Cosines and norms of the last frame of ``x``, or its first token with NaN or Inf (0 to H*W - 1).

    They equal those of :func:`stgraph.kernels.cpu.neighbours.neighbour_cosines` for all frames at once to the bit:
    each is one sum over a token's features, whichever frames are summed beside it.

    Parameters
    ----------
    x : [2, H, W, d], the frame before and the frame, or [1, H, W, d] for the first; float32, float16 or bfloat16
    norms_before : norms returned for the frame before; None for the first frame
    """
    n, H, W, _ = x.shape
    source, at = row_source(x), n - 1
    # The frame before is needed only for its norms: its own edges are meaningless and left out.
    weights, norms = np.zeros((3, n, H, W), np.float32), np.zeros((n, H, W), np.float64)
    if norms_before is not None:
        norms[0] = norms_before
    parts = min(num_threads(), H)
    rows = [(H * i // parts, H * (i + 1) // parts) for i in range(parts)]
    run_blocks(lambda h: _products(source, lead_of(source), columns_ahead(x), weights, norms, at, n, *h), rows)
    bad = weights_of_products(source, weights, norms)
    if bad is not None:
        return int(bad - at * H * W)
    before = weights[TEMPORAL, 0] if at else np.full((H, W), np.nan, np.float32)
    return FrameCosines(weights[RIGHT, at], weights[BOTTOM, at], before, norms[at])
