"""Unit rows of features and mean directions of groups of them, for spherical k-means."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array


def unit_rows(x: Array) -> Array:
    """[N, d] float32: the rows of ``x`` ([T, H, W, d] float32, float16 or bfloat16) scaled to length 1 in float64,
    whose squares of large float32 are finite; zero rows stay zero."""
    wide = x.reshape(-1, x.shape[-1]).astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    units: Array = (wide / np.maximum(lengths, np.finfo(np.float64).tiny)).astype(np.float32)
    return units


def mean_directions(points: Array, labels: Array) -> tuple[Array, Array]:
    """Directions of the sums of the groups' rows ([m, d] float32; zero for a sum of zero), and labels renumbered in
    ascending order without the groups that have no member ([N] int64).

    Parameters
    ----------
    points : [N, d] float32
    labels : [N] int64
    """
    order = np.argsort(labels, kind="stable")
    used, starts = np.unique(labels[order], return_index=True)
    sums = np.add.reduceat(points[order], starts, axis=0)
    means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return means, np.searchsorted(used, labels)
