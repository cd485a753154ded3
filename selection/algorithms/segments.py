"""Segmentation of a video into similar frames (FastVID's dynamic segmentation)."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array


def frame_segments(vectors: Array, n_segments: int, tau: float) -> list[tuple[int, int]]:
    """Segments between cuts: after every frame whose cosine to the next one is below ``tau``, and after the
    ``n_segments`` - 1 frames of lowest cosine.

    Parameters
    ----------
    vectors : [T, c] floating, finite
        one vector per frame; a zero vector has cosine 0 with everything
    n_segments : minimum number of segments; every frame is one if T is smaller
    tau : cosine below which frames are always cut apart

    Returns
    -------
    (first, end) frames of each segment, half-open, in order
    """
    wide = vectors.astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1))
    products, scale = (wide[:-1] * wide[1:]).sum(axis=1), norms[:-1] * norms[1:]
    cosine = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    cut = cosine < tau
    cut[np.argsort(cosine, kind="stable")[: n_segments - 1]] = True
    ends = np.append(np.flatnonzero(cut) + 1, vectors.shape[0])
    return [(int(a), int(b)) for a, b in zip(np.append(0, ends[:-1]), ends, strict=True)]
