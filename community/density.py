"""Density peaks: points that are dense and far from any denser point (DPC-KNN), as used by HoliTom and FastVID."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype, is_tensor, to_host

# Squared distances below this share of the squared norms are rounding: such points count as one and the same.
_SAME = 1e-12


def scaled_distances(points: Any) -> Array:
    """Euclidean distances divided by sqrt(d), from one product of the points with themselves in float64.

    Points closer than 1e-6 of their norms have distance 0 and equal distances to all others, so that repeated tokens
    tie exactly and the smaller index wins.

    Parameters
    ----------
    points : [n, d] floating, finite; on a GPU, products are computed there and copied to host memory

    Returns
    -------
    [n, n] float64, symmetric; time and memory quadratic in n
    """
    wide = astype(points, "float64")
    gram = to_host(wide @ wide.T)
    if is_tensor(wide):  # NumPy's product of a matrix with itself is symmetric to the bit
        gram = (gram + gram.T) / 2
    square = np.diagonal(gram)
    both = square[:, None] + square[None, :]
    distance = both - 2 * gram
    same = distance <= _SAME * both
    distance[same] = 0
    np.fill_diagonal(same, True)
    twin = same.argmax(axis=1)  # the first point each one repeats, mostly itself
    if (twin != np.arange(twin.size)).any():
        distance = distance[np.ix_(twin, twin)]
    np.fill_diagonal(distance, 0)
    scaled: Array = np.sqrt(distance / points.shape[1])
    return scaled


def peak_scores(distance: Array, k: int) -> Array:
    """Logarithm of density times distance to the nearest denser point.

    The density of a point is exp(-mean of its k smallest squared distances, including the 0 to itself). Points are
    ordered by density, then by index, so that every point except the first has a denser one; the first gets the largest
    distance of all. The authors instead add noise of 1e-6 to the density. Logarithms preserve the order below
    exp(-1000), which occurs for features with large norms.

    Parameters
    ----------
    distance : [n, n] float64, symmetric, 0 on the diagonal
    k : number of nearest points, at least 1; capped at n

    Returns
    -------
    [n] float64; -inf if a denser point lies at the same place
    """
    n = distance.shape[0]
    k = min(k, n)
    nearest = np.sort(np.partition(distance, k - 1, axis=1)[:, :k], axis=1)
    sparsity = (nearest**2).mean(axis=1)
    order = np.argsort(sparsity, kind="stable")
    ordered = distance[np.ix_(order, order)]
    ordered[np.triu_indices(n)] = np.inf
    apart = np.empty(n)
    apart[order] = ordered.min(axis=1)
    apart[order[0]] = distance.max()
    with np.errstate(divide="ignore"):
        scores: Array = np.log(apart) - sparsity
    return scores


def density_peaks(scores: Array, n_peaks: int) -> Array:
    """The ``n_peaks`` points with the highest scores, ascending, [n_peaks] int64; ties go to the smaller index."""
    best = np.argsort(-scores, kind="stable")[:n_peaks]
    return np.sort(best)
