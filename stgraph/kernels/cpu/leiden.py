"""Leiden in compiled loops: local moving, refinement and aggregation (Traag, Waltman, van Eck 2019), not randomised.

One quality serves both objectives: sum over communities of [w_c - gamma M_c^2 / 2], where w_c is the weight inside and
M_c the sum of the node masses. Masses of 1 give the constant Potts model; masses equal to the weighted degree, with
gamma / 2m, give modularity (both up to a constant).

Three things differ from Leiden. On a lattice the search starts from boxes of tokens instead of single tokens
(``lattice_boxes.py``). A pass also goes back down: after the coarsest graph, nodes move on each finer one, down to the
original graph (multilevel refinement; Rotta and Noack 2011), so that community borders are set at every scale. And CPM
on a long video is searched in blocks of frames (``leiden_blocks.py``).

Nodes are visited in a fixed order, ties go to the smallest community, and moves within a block are sequential, so
labels are the same on any thread count.
"""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.components import _find, _number
from stgraph.kernels.cpu.lattice_boxes import box_pieces
from stgraph.kernels.cpu.leiden_blocks import frame_cuts, search_blocks
from stgraph.kernels.cpu.leiden_levels import Level, adjacency, descend
from stgraph.kernels.cpu.leiden_moves import move

Lattice = tuple[Array, float, tuple[bool, bool, bool]]


@compiled()
def _connected(src, dst, labels):  # type: ignore[no-untyped-def]
    # A community left in two pieces counts as two, which never lowers the quality.
    n = labels.size
    parent = np.empty(n, np.int32)
    for v in range(n):
        parent[v] = v
    for e in range(src.size):
        if labels[src[e]] == labels[dst[e]]:
            a, b = _find(parent, src[e]), _find(parent, dst[e])
            if a < b:
                parent[b] = a
            elif b < a:
                parent[a] = b
    return _number(parent, n)


@compiled()
def _strength(starts, value):  # type: ignore[no-untyped-def]
    strength = np.zeros(starts.size - 1)
    for v in range(strength.size):
        for e in range(starts[v], starts[v + 1]):
            strength[v] += value[e]
    return strength


def leiden(
    n_nodes: int,
    src: Array,
    dst: Array,
    weight: Array,
    resolution: float,
    *,
    modularity: bool = False,
    max_size: int | None = None,
    n_iterations: int = 2,
    lattice: Lattice | None = None,
) -> Array:
    """[N] int32 canonical labels of connected communities, by Leiden on CPM or on modularity.

    Parameters
    ----------
    src, dst, weight : [E] each edge once, weights above 0
    resolution : gamma of the objective
    max_size : largest community in nodes, enforced inside the search; None for no bound
    n_iterations : number of passes, each starting from the last one's communities; fewer once nothing moves
    lattice : (similarity, tau, families) the edges come from, as :func:`stgraph.kernels.cpu.lattice.components` takes
        them, to start from boxes of tokens; None to start from single nodes
    """
    cap, gamma = max_size or n_nodes, float(resolution)
    cuts = frame_cuts(lattice[0].shape[1:], gamma) if lattice and not modularity else []
    if lattice and cuts:
        labels = box_pieces(*lattice, np.ones(n_nodes), gamma, cap).view(np.uint32)
        search_blocks((src, dst, weight), labels, cuts, gamma, cap, n_iterations)
    else:
        labels = _search(n_nodes, (src, dst, weight), gamma, modularity, cap, n_iterations, lattice)
    canonical: Array = _connected(src, dst, labels)[0]
    return canonical


def _search(
    n_nodes: int,
    edges: tuple[Array, Array, Array],
    gamma: float,
    modularity: bool,
    cap: int,
    n_iterations: int,
    lattice: Lattice | None,
) -> Array:
    """[N] labels of the whole graph at once."""
    starts, neighbour, value = adjacency(n_nodes, *edges)
    mass = np.ones(n_nodes)
    if modularity:
        mass = _strength(starts, value)
        gamma /= max(float(mass.sum()), float(np.finfo(np.float64).tiny))
    base = Level(starts, neighbour, value, mass, np.ones(n_nodes, np.int64))
    labels = np.arange(n_nodes, dtype=np.uint32)
    if lattice:
        labels = box_pieces(*lattice, mass, gamma, cap).view(np.uint32)
    move(*base.graph, labels, gamma, cap)
    for iteration in range(n_iterations):
        labels, moves = descend(base, labels, gamma, cap, iteration % 2 == 1)
        if not moves:
            break
    return labels
