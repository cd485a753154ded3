"""Leiden on a GPU: the twin of ``kernels/cpu/leiden.py``, in rounds of moves (``leiden_rounds.py``).

Labels are the same on every run. They differ from the CPU's, which moves one node at a time;
tests/gpu/test_gpu_leiden.py compares the quality.
"""

from __future__ import annotations

from typing import Any

import torch

from stgraph.kernels.gpu.components import canonical_labels, connected_components
from stgraph.kernels.gpu.lattice_boxes import box_pieces
from stgraph.kernels.gpu.leiden_rounds import Level, Search
from stgraph.kernels.gpu.sums import group_sums, merged_edges, segment_sums


def _own(n: int, device: Any) -> Any:
    return torch.arange(n, dtype=torch.int32, device=device)


def _aggregated(level: Level, piece: Any, n_pieces: int) -> Level:
    row, neighbour = piece[level.row].long(), piece[level.neighbour].long()
    apart = row != neighbour
    edges = merged_edges(row[apart], neighbour[apart], level.value[apart], n_pieces)
    size = torch.zeros(n_pieces, dtype=torch.int64, device=piece.device).index_add_(0, piece.long(), level.size)
    return Level(*edges, group_sums(level.mass, piece, n_pieces), size)


def leiden(
    n_nodes: int,
    src: Any,
    dst: Any,
    weight: Any,
    resolution: float,
    *,
    modularity: bool = False,
    max_size: int | None = None,
    n_iterations: int = 2,
    lattice: tuple[Any, float, tuple[bool, bool, bool]] | None = None,
) -> Any:
    """[N] int32 canonical labels of connected communities, by Leiden on CPM or on modularity.

    Parameters
    ----------
    src, dst, weight : [E] tensors, each edge once, weights above 0
    resolution, modularity, max_size, n_iterations, lattice : see :func:`stgraph.kernels.cpu.leiden.leiden`
    """
    row, neighbour = torch.cat([src, dst]).long(), torch.cat([dst, src]).long()
    edges = merged_edges(row, neighbour, torch.cat([weight, weight]).double(), n_nodes)
    mass, gamma = torch.ones(n_nodes, dtype=torch.float64, device=src.device), float(resolution)
    if modularity:
        mass = segment_sums(edges[3], edges[0])
        gamma = resolution / max(float(mass.sum()), torch.finfo(torch.float64).tiny)
    base = Level(*edges, mass, torch.ones(n_nodes, dtype=torch.int64, device=src.device))
    cap = n_nodes if max_size is None else max_size
    found = box_pieces(*lattice, mass, gamma, cap) if lattice else _own(n_nodes, src.device)
    Search(base, found, gamma, cap).run()
    for iteration in range(n_iterations):
        found, moves = _pass(base, found, gamma, cap, iteration)
        if not moves:
            break
    inside = found[src.long()] == found[dst.long()]
    return connected_components(n_nodes, src[inside], dst[inside])[0]


def _pass(level: Level, labels: Any, gamma: float, cap: int, salt: int) -> tuple[Any, int]:
    """Make one pass from the communities ``labels``: refinement, aggregation and moves, level by level, then moves at
    each level on the way back."""
    finer: list[tuple[Level, Any]] = []
    moves = 0
    while True:
        labels, n_groups = canonical_labels(labels)
        if n_groups == level.n:
            break
        single = _own(level.n, labels.device)
        Search(level, single, gamma, cap, labels, salt).run()
        piece, n_pieces = canonical_labels(single)
        if n_pieces == level.n:
            break
        finer.append((level, piece.long()))
        level = _aggregated(level, piece, n_pieces)
        communities = torch.empty(n_pieces, dtype=torch.int32, device=labels.device)
        communities[piece.long()] = labels
        labels = communities
        moves += Search(level, labels, gamma, cap).run()
    for level, piece in reversed(finer):
        labels = labels[piece]
        moves += Search(level, labels, gamma, cap).run()
    return labels, moves
