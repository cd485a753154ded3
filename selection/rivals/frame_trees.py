"""Trees over time: tokens merged into their most similar token of the frame before (FlashVID)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import beside, concatenated, largest_of_rows
from stgraph.frame_work import joined
from stgraph.kernels import kernels_for
from stgraph.selection.result import wide_product


@dataclass(frozen=True, eq=False)
class Trees:
    """The trees of F frames of P tokens; nodes are numbered from 0 to F P - 1.

    Attributes
    ----------
    parent : [F P] int64: the node of the frame before that each node is merged into, or -1
    root : [F P] int64: the root of each node's tree; -1 for excluded nodes
    roots : [R] int64, ascending
    sizes, children : [F P]: nodes in the tree of a root, and nodes merged into each node directly
    sums : [R, d] float64: sum of the features in each tree, on their device
    """

    parent: Array
    root: Array
    roots: Array
    sizes: Array
    children: Array
    sums: Any


def merge_trees(frames: Any, units: Any, apart: Array, tau: float, n_least: int) -> Trees:
    """Merge each token into its most similar one of the frame before where their cosine exceeds ``tau``.

    If fewer than ``n_least`` nodes would remain, tau is raised to the similarity of the first excess pair, and only
    pairs above it are merged. Ties go to the smaller position.

    Parameters
    ----------
    frames, units : [F, P, d], features and unit features
    apart : [F, P] bool: excluded tokens, which count as remaining
    """
    from scipy.sparse import csr_array

    F, P, d = frames.shape
    similar, target = np.full((F, P), -1.0, np.float32), np.zeros((F, P), np.int64)
    if F > 1:
        found = [_most_similar(units[f - 1], units[f], apart[f - 1], apart[f]) for f in range(1, F)]
        target[1:], similar[1:] = (joined(parts).reshape(F - 1, P) for parts in zip(*found, strict=True))
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
    sums = wide_product(matrix, frames.reshape(F * P, d))
    return Trees(parent, root, roots, sizes, np.bincount(parent[parent >= 0], minlength=F * P), sums)


def _most_similar(before: Any, units: Any, gone_before: Array, gone: Array) -> tuple[Any, Any]:
    """Position and cosine of each token's most similar token in the frame ``before``; -1 if either is excluded."""
    from stgraph.kernels.cpu.spanning_tree import SAME

    P = len(units)
    both = concatenated((units, before))
    table = kernels_for(units, "cosines").cosines(both, np.arange(P), P + np.arange(P))
    table[table > float(SAME)] = 1
    table[:, beside(gone_before, table)] = -1
    table[beside(gone, table)] = -1
    return largest_of_rows(table)
