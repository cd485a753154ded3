"""Agreement of two partitions of the same tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError


@dataclass(frozen=True)
class Agreement:
    """Agreement between two partitions.

    Attributes
    ----------
    nmi : normalised mutual information, 2 I / (H1 + H2), 0 to 1
    ari : adjusted Rand index, 1 for equal partitions, about 0 for unrelated ones
    vi : variation of information H1 + H2 - 2 I, in nats; 0 for equal partitions
    """

    nmi: float
    ari: float
    vi: float


def agreement(a: Array, b: Array) -> Agreement:
    """NMI, ARI and VI of two label arrays ([N] integers each).

    Raises
    ------
    InputError
        the arrays differ in length or are empty
    """
    a, b = np.asarray(a).ravel(), np.asarray(b).ravel()
    if a.size != b.size or a.size == 0:
        raise InputError(f"labels have {a.size} and {b.size} entries; they must be equally many and not empty")
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    joint = np.unique(a.astype(np.int64) * (int(b.max()) + 1) + b, return_counts=True)[1]
    sizes_a, sizes_b = np.bincount(a), np.bincount(b)
    if joint.size == sizes_a.size == sizes_b.size:
        return Agreement(nmi=1.0, ari=1.0, vi=0.0)
    h_a, h_b, h_joint = _entropy(sizes_a), _entropy(sizes_b), _entropy(joint)
    mutual = max(h_a + h_b - h_joint, 0.0)
    pairs_a, pairs_b, pairs_both = _pairs(sizes_a), _pairs(sizes_b), _pairs(joint)
    expected = pairs_a * pairs_b / _pairs(np.array([a.size]))
    ari = (pairs_both - expected) / ((pairs_a + pairs_b) / 2 - expected)
    return Agreement(nmi=2 * mutual / (h_a + h_b), ari=ari, vi=max(h_a + h_b - 2 * mutual, 0.0))


def _entropy(counts: Array) -> float:
    p = counts / counts.sum()
    return float(-(p * np.log(p)).sum())


def _pairs(counts: Array) -> float:
    n = counts.astype(np.float64)
    return float((n * (n - 1) / 2).sum())
