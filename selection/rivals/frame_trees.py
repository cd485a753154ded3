"""Trees over time: tokens merged into their most similar token of the frame before (FlashVID)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stgraph.aliases import Array


@dataclass(frozen=True, eq=False)
class Trees:
    """The trees of F frames of P tokens; nodes are numbered from 0 to F P - 1.

    Attributes
    ----------
    parent : [F P] int64: the node of the frame before that each is merged into, -1 where it is not
    root : [F P] int64: the root of each node's tree; -1 for nodes that take no part
    roots : [R] int64, ascending
    sizes, children : [F P]: nodes in the tree of a root, and nodes merged into each node directly
    sums : [R, d] float64: sum of the features in each tree
    """

    parent: Array
    root: Array
    roots: Array
    sizes: Array
    children: Array
    sums: Array


def merge_trees(frames: Array, units: Array, apart: Array, tau: float, n_least: int) -> Trees:
    """Merge each token into its most similar one of the frame before where their cosine exceeds ``tau``.

    If fewer than ``n_least`` nodes would stay, tau is raised to the similarity of the first pair too many, and only
    pairs above it are merged. Ties go to the smaller position.

    Parameters
    ----------
    frames, units : [F, P, d], features and unit features
    apart : [F, P] bool: tokens that take no part but count as staying
    """
    from scipy.sparse import csr_array

    F, P, d = frames.shape
    similar, target = np.full((F, P), -1.0, np.float32), np.zeros((F, P), np.int64)
    for f in range(1, F):
        similar[f], target[f] = _most_similar(units[f - 1], units[f], apart[f - 1], apart[f])
    merged = similar > np.float32(tau)
    if F * P - np.count_nonzero(merged) < n_least:
        most = F * P - n_least
        bound = np.sort(similar, axis=None)[::-1][most - 1] if most else np.inf
        merged = similar > max(bound, np.float32(-1 + 1e-6))
    parent = np.where(merged, target + (np.arange(F)[:, None] - 1) * P, -1).reshape(-1)
    root = np.where(apart.reshape(-1), -1, np.arange(F * P))
    for f in range(1, F):
        mine = slice(f * P, (f + 1) * P)
        root[mine] = np.where(parent[mine] >= 0, root[parent[mine]], root[mine])
    members = np.flatnonzero(root >= 0)
    sizes = np.bincount(root[members], minlength=F * P)
    roots = np.flatnonzero(sizes)
    places = np.searchsorted(roots, root[members])
    matrix = csr_array((np.ones(members.size), (places, members)), shape=(roots.size, F * P))
    sums = matrix @ frames.reshape(F * P, d).astype(np.float64)
    return Trees(parent, root, roots, sizes, np.bincount(parent[parent >= 0], minlength=F * P), sums)


def _most_similar(before: Array, units: Array, gone_before: Array, gone: Array) -> tuple[Array, Array]:
    """Cosine and position of each token's most similar one of the frame ``before``; -1 where either takes no part."""
    from stgraph.kernels.cpu.cosines import cosines
    from stgraph.kernels.cpu.spanning_tree import SAME

    P = len(units)
    table = cosines(np.concatenate([units, before]), np.arange(P), P + np.arange(P))
    table[table > SAME] = 1
    table[:, gone_before] = -1
    table[gone] = -1
    best = table.argmax(axis=1)
    return table[np.arange(P), best], best
