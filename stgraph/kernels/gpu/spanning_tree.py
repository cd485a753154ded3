"""Maximum spanning trees on the device: the merges of single linkage, in order."""

from __future__ import annotations

from typing import Any

import torch

from stgraph.kernels.cpu.spanning_tree import SAME
from stgraph.kernels.gpu.chunks import ELEMENTS


def unit_products(units: Any) -> Any:
    """[n, n] float32 tensor, symmetric to the bit, of products of unit rows ([n, d] tensor), summed in float64."""
    n, wide = len(units), units.double()
    similarity = torch.empty((n, n), dtype=torch.float32, device=units.device)
    most = max(1, ELEMENTS // n)
    for a in range(0, n, most):
        b = min(a + most, n)
        block = (wide[a:b] @ wide[a:].T).float()
        similarity[a:b, a:], similarity[a:, a:b] = block, block.T
        corner = block[:, : b - a]
        similarity[a:b, a:b] = corner.triu() + corner.triu(1).T
    return similarity


def maximum_spanning_tree(similarity: Any) -> tuple[Any, Any, Any]:
    """The maximum spanning tree of a complete graph, strongest edge first, ties to the smaller (low, high).

    Boruvka's rounds: each tree is joined along its strongest edge, under the strict order (similarity descending, pair
    ascending), which makes the spanning tree unique. Waits for the device once at the end, for the number of edges.

    Parameters
    ----------
    similarity : [n, n] float32 tensor, symmetric; values within float32 rounding of 1 count as 1

    Returns
    -------
    low, high : [n - 1] int32 tensors with low < high
    weight : [n - 1] float32 tensor, descending
    """
    n, device = len(similarity), similarity.device
    node = torch.arange(n, device=device)
    tree, n_rounds, chosen = node, (n - 1).bit_length(), []
    for _ in range(n_rounds):  # each at least halves the number of trees
        value, pair = _strongest(similarity, tree, node)
        best = torch.full((n,), -torch.inf, device=device).scatter_reduce(0, tree, value, "amax")
        pair = torch.where((value == best[tree]) & (value > -torch.inf), pair, n * n)
        edge = torch.full((n,), n * n, device=device).scatter_reduce(0, tree, pair, "amin")
        joins = edge < n * n
        low, high = (tree[torch.where(joins, end, 0)] for end in (edge // n, edge % n))
        parent = torch.where(joins, torch.where(low == node, high, low), node)
        # Two trees that chose the same edge point at each other.
        parent = torch.where((parent[parent] == node) & (node < parent), node, parent)
        for _ in range(n_rounds):
            parent = parent[parent]
        tree = parent[tree]
        chosen.append(torch.where(joins, edge, -1))
    edge = torch.unique(torch.stack(chosen)) if chosen else node[:0]
    edge = edge[edge >= 0]
    low, high = edge // n, edge % n
    weight = similarity[low, high]
    weight = torch.where(weight > float(SAME), 1.0, weight) + 0.0  # -0.0 equals 0.0, but not in a sort by bits
    weight, order = weight.sort(descending=True, stable=True)
    return low[order].int(), high[order].int(), weight


def _strongest(similarity: Any, tree: Any, node: Any) -> tuple[Any, Any]:
    """Strongest edge of each node that leaves its tree: similarity (-inf if there is none) and low * n + high."""
    n = len(node)
    most, parts = max(1, ELEMENTS // n), []
    for a in range(0, n, most):
        rows = similarity[a : a + most]
        rows = torch.where(rows > float(SAME), 1.0, rows)
        rows = torch.where(tree[a : a + most, None] == tree[None], -torch.inf, rows)
        parts.append(rows.max(dim=1))  # the first of equals, as torch documents
    value, other = (torch.cat(some) for some in zip(*parts, strict=True))
    return value, torch.minimum(node, other) * n + torch.maximum(node, other)
