"""The graph at one level of Leiden, its aggregation, and a pass over all levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.leiden_moves import move, refine


@dataclass(frozen=True, eq=False)
class Level:
    """The graph at one level: [n + 1] starts; neighbour and weight for each end of an edge; masses and sizes [n]."""

    starts: Array
    neighbour: Array
    value: Array
    mass: Array
    size: Array

    @property
    def graph(self) -> tuple[Array, Array, Array, Array, Array]:
        """The five arrays, in the order the kernels take them."""
        return self.starts, self.neighbour, self.value, self.mass, self.size


@compiled()
def adjacency(n, src, dst, weight):  # type: ignore[no-untyped-def]
    starts = np.zeros(n + 1, np.int64)
    for e in range(src.size):
        starts[src[e] + 1] += 1
        starts[dst[e] + 1] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    at = starts[:-1].copy()
    neighbour, value = np.empty(2 * src.size, np.uint32), np.empty(2 * src.size, np.float64)
    for e in range(src.size):
        a, b = src[e], dst[e]
        neighbour[at[a]], value[at[a]] = b, weight[e]
        neighbour[at[b]], value[at[b]] = a, weight[e]
        at[a] += 1
        at[b] += 1
    return starts, neighbour, value


@compiled()
def _renumber(labels):  # type: ignore[no-untyped-def]
    new, count = np.full(labels.size, -1, np.int32), 0
    for i in range(labels.size):
        if new[labels[i]] < 0:
            new[labels[i]] = count
            count += 1
        labels[i] = new[labels[i]]
    return count


@compiled()
def _aggregate(starts, neighbour, value, mass, size, labels, piece, n_pieces):  # type: ignore[no-untyped-def]
    # A counting sort groups members by piece; each piece's edges are summed in a dense row that is never cleared.
    n = piece.size
    first = np.zeros(n_pieces + 1, np.int64)
    new_mass, new_size = np.zeros(n_pieces), np.zeros(n_pieces, np.int64)
    new_labels = np.empty(n_pieces, np.uint32)
    for v in range(n):
        first[piece[v] + 1] += 1
        new_mass[piece[v]] += mass[v]
        new_size[piece[v]] += size[v]
        new_labels[piece[v]] = labels[v]
    for c in range(n_pieces):
        first[c + 1] += first[c]
    at, members = first[:-1].copy(), np.empty(n, np.uint32)
    for v in range(n):
        members[at[piece[v]]] = v
        at[piece[v]] += 1
    new_starts = np.zeros(n_pieces + 1, np.int64)
    new_neighbour, new_value = np.empty(neighbour.size, np.uint32), np.empty(neighbour.size, np.float64)
    place, used = np.full(n_pieces, -1, np.int64), 0
    for c in range(n_pieces):
        begin = used
        for i in range(first[c], first[c + 1]):
            v = members[i]
            for e in range(starts[v], starts[v + 1]):
                other = piece[neighbour[e]]
                if other == c:
                    continue
                if place[other] < begin:
                    place[other] = used
                    new_neighbour[used] = other
                    new_value[used] = 0.0
                    used += 1
                new_value[place[other]] += value[e]
        new_starts[c + 1] = used
    return new_starts, new_neighbour[:used].copy(), new_value[:used].copy(), new_mass, new_size, new_labels


def descend(base: Level, labels: Array, gamma: float, cap: int, backwards: bool) -> tuple[Array, int]:
    """Make one pass from communities ``labels``, which no move on ``base`` improves: refinement, aggregation and moves,
    level by level, then moves at each level on the way back. Return the new labels and the number of moves."""
    level, finer, moves = base, [], 0
    while True:
        n_groups = _renumber(labels)
        if n_groups == labels.size:
            break
        piece = refine(*level.graph, labels, gamma, cap, backwards)
        n_pieces = _renumber(piece)
        if n_pieces == labels.size:
            break
        finer.append((level, piece))
        *graph, labels = _aggregate(*level.graph, labels, piece, n_pieces)
        level = Level(*graph)
        moves += move(*level.graph, labels, gamma, cap)
    for level, piece in reversed(finer):
        labels = labels.take(piece)
        moves += move(*level.graph, labels, gamma, cap)
    return labels, moves
