"""Sparse assignment matrices of merging methods, from (kept token, member, weight) triples."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.aliases import Array


def assignment(nodes: Array, kept: Array, members: Array, weights: Array, n_nodes: int) -> Any:
    """[K, N] scipy.sparse.csr_array: row k holds the ``weights`` at the ``members`` of nodes[k]'s triples.

    Members ascend within a row, so sums over a row do not depend on the order of the triples. Where a pair (kept,
    member) occurs twice, its weights are added.

    Parameters
    ----------
    nodes : [K] ascending, unique
    kept : [nnz] values of ``nodes``
    members, weights : [nnz]
    """
    from scipy.sparse import coo_array

    rows = np.searchsorted(nodes, kept)
    matrix = coo_array((weights, (rows, members)), shape=(nodes.size, n_nodes)).tocsr()
    matrix.sort_indices()
    return matrix
