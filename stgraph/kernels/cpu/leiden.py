"""Leiden in compiled loops: local moving, refinement and aggregation (Traag, Waltman, van Eck 2019), not randomised.

One quality serves both objectives: sum over communities of [w_c - gamma M_c^2 / 2], where w_c is the weight inside and
M_c the sum of the node masses. Masses of 1 give the constant Potts model, masses of the weighted degree and
gamma / 2m give modularity (both up to a constant). Nodes are visited in a fixed order, ties go to the smallest
community, and everything is sequential: the same labels on any thread count.
"""

from __future__ import annotations

import numba
import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.components import _find, _number

_LEVELS = 64  # each level at least removes a node; real graphs take fewer than ten


@numba.njit(nogil=True, cache=True)
def _adjacency(n, src, dst, weight):  # type: ignore[no-untyped-def]
    starts = np.zeros(n + 1, np.int64)
    for e in range(src.size):
        starts[src[e] + 1] += 1
        starts[dst[e] + 1] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    at = starts[:-1].copy()
    neighbour, value = np.empty(2 * src.size, np.int32), np.empty(2 * src.size, np.float64)
    for e in range(src.size):
        a, b = src[e], dst[e]
        neighbour[at[a]], value[at[a]] = b, weight[e]
        neighbour[at[b]], value[at[b]] = a, weight[e]
        at[a] += 1
        at[b] += 1
    return starts, neighbour, value


@numba.njit(nogil=True, cache=True)
def _move(starts, neighbour, value, mass, size, labels, gamma, cap):  # type: ignore[no-untyped-def]
    # Nodes wait in a ring; a node that moves calls back its neighbours in other communities.
    n = mass.size
    group_mass, group_size, members = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int32)
    for v in range(n):
        group_mass[labels[v]] += mass[v]
        group_size[labels[v]] += size[v]
        members[labels[v]] += 1
    empty, n_empty = np.empty(n, np.int32), 0
    for c in range(n - 1, -1, -1):
        if members[c] == 0:
            empty[n_empty] = c
            n_empty += 1
    ring, waits = np.arange(n, dtype=np.int32), np.ones(n, np.bool_)
    head, n_waiting, moves = 0, n, 0
    weight_to, seen, touched = np.zeros(n), np.full(n, -1, np.int64), np.empty(n, np.int32)
    visit = 0
    while n_waiting > 0:
        v = ring[head]
        head = head + 1 if head + 1 < n else 0
        n_waiting -= 1
        waits[v] = False
        own, visit, n_touched = labels[v], visit + 1, 0
        seen[own] = visit
        weight_to[own] = 0.0
        for e in range(starts[v], starts[v + 1]):
            c = labels[neighbour[e]]
            if seen[c] != visit:
                seen[c] = visit
                weight_to[c] = 0.0
                touched[n_touched] = c
                n_touched += 1
            weight_to[c] += value[e]
        pull = gamma * mass[v]
        best, gain = own, weight_to[own] - pull * (group_mass[own] - mass[v])
        least = 1e-10 * (abs(gain) + pull * mass[v])  # what rounding alone may differ by
        for i in range(n_touched):
            c = touched[i]
            if group_size[c] + size[v] > cap:
                continue
            other = weight_to[c] - pull * group_mass[c]
            if other > gain + least or (best != own and c < best and other >= gain):
                best, gain = c, other
        if gain < -least and members[own] > 1:
            best = empty[n_empty - 1]
            n_empty -= 1
        if best == own:
            continue
        group_mass[own] -= mass[v]
        group_size[own] -= size[v]
        members[own] -= 1
        if members[own] == 0:
            group_mass[own] = 0.0
            empty[n_empty] = own
            n_empty += 1
        group_mass[best] += mass[v]
        group_size[best] += size[v]
        members[best] += 1
        labels[v] = best
        moves += 1
        for e in range(starts[v], starts[v + 1]):
            u = neighbour[e]
            if labels[u] != best and not waits[u]:
                waits[u] = True
                tail = head + n_waiting
                ring[tail if tail < n else tail - n] = u
                n_waiting += 1
    return moves


@numba.njit(nogil=True, cache=True)
def _refine(starts, neighbour, value, mass, size, labels, gamma, cap, backwards):  # type: ignore[no-untyped-def]
    # Within each community, from single nodes: a node that is still alone joins the neighbour of the best gain, if both
    # are well connected to the rest of the community. Pieces grow along edges, so each is connected. Going backwards
    # finds other pieces, from which the next moves get out of what the last pass was stuck in.
    n = mass.size
    whole = np.zeros(n)
    for v in range(n):
        whole[labels[v]] += mass[v]
    piece = np.arange(n, dtype=np.int32)
    piece_mass, piece_size, alone = mass.copy(), size.copy(), np.ones(n, np.bool_)
    outward = np.zeros(n)  # weight from a piece to the rest of its community
    for v in range(n):
        for e in range(starts[v], starts[v + 1]):
            if labels[neighbour[e]] == labels[v]:
                outward[v] += value[e]
    weight_to, seen, touched = np.zeros(n), np.full(n, -1, np.int64), np.empty(n, np.int32)
    for i in range(n):
        v = n - 1 - i if backwards else i
        rest = whole[labels[v]] - mass[v]
        if not alone[v] or outward[v] < gamma * mass[v] * rest:
            continue
        n_touched = 0
        for e in range(starts[v], starts[v + 1]):
            u = neighbour[e]
            if labels[u] != labels[v]:
                continue
            c = piece[u]
            if seen[c] != v:
                seen[c] = v
                weight_to[c] = 0.0
                touched[n_touched] = c
                n_touched += 1
            weight_to[c] += value[e]
        best, gain = v, 0.0
        for k in range(n_touched):
            c = touched[k]
            if piece_size[c] + size[v] > cap or outward[c] < gamma * piece_mass[c] * (whole[labels[v]] - piece_mass[c]):
                continue
            other = weight_to[c] - gamma * mass[v] * piece_mass[c]
            if other > gain or (other == gain and best != v and c < best):
                best, gain = c, other
        if best != v:
            piece[v] = best
            alone[v] = alone[best] = False
            outward[best] += outward[v] - 2.0 * weight_to[best]
            piece_mass[best] += mass[v]
            piece_size[best] += size[v]
    return piece


@numba.njit(nogil=True, cache=True)
def _renumber(labels):  # type: ignore[no-untyped-def]
    new, count = np.full(labels.size, -1, np.int32), 0
    for i in range(labels.size):
        if new[labels[i]] < 0:
            new[labels[i]] = count
            count += 1
        labels[i] = new[labels[i]]
    return count


@numba.njit(nogil=True, cache=True)
def _aggregate(starts, neighbour, value, piece, n_pieces):  # type: ignore[no-untyped-def]
    # Members by piece with a counting sort; each piece's edges are summed in a dense row that is never cleared.
    n = piece.size
    first = np.zeros(n_pieces + 1, np.int64)
    for v in range(n):
        first[piece[v] + 1] += 1
    for c in range(n_pieces):
        first[c + 1] += first[c]
    at, members = first[:-1].copy(), np.empty(n, np.int32)
    for v in range(n):
        members[at[piece[v]]] = v
        at[piece[v]] += 1
    new_starts = np.zeros(n_pieces + 1, np.int64)
    new_neighbour, new_value = np.empty(neighbour.size, np.int32), np.empty(neighbour.size, np.float64)
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
    return new_starts, new_neighbour[:used].copy(), new_value[:used].copy()


@numba.njit(nogil=True, cache=True)
def _leiden(starts, neighbour, value, mass, gamma, cap, n_iterations):  # type: ignore[no-untyped-def]
    n = mass.size
    found = np.arange(n, dtype=np.int32)
    for iteration in range(n_iterations):
        level = (starts, neighbour, value)
        level_mass, level_size = mass.copy(), np.ones(n, np.int64)
        labels, node, moves = found.copy(), np.arange(n, dtype=np.int32), 0
        for _ in range(_LEVELS):
            moves += _move(level[0], level[1], level[2], level_mass, level_size, labels, gamma, cap)
            n_groups = _renumber(labels)
            for v in range(n):
                found[v] = labels[node[v]]
            if n_groups == labels.size:
                break
            back = iteration % 2 == 1
            piece = _refine(level[0], level[1], level[2], level_mass, level_size, labels, gamma, cap, back)
            n_pieces = _renumber(piece)
            if n_pieces == labels.size:
                break
            level = _aggregate(level[0], level[1], level[2], piece, n_pieces)
            new_mass, new_size = np.zeros(n_pieces), np.zeros(n_pieces, np.int64)
            new_labels = np.empty(n_pieces, np.int32)
            for v in range(piece.size):
                new_mass[piece[v]] += level_mass[v]
                new_size[piece[v]] += level_size[v]
                new_labels[piece[v]] = labels[v]
            level_mass, level_size, labels = new_mass, new_size, new_labels
            for v in range(n):
                node[v] = piece[node[v]]
        if moves == 0:
            break
    return found


@numba.njit(nogil=True, cache=True)
def _connected(starts, neighbour, labels):  # type: ignore[no-untyped-def]
    # A community that is left in two pieces counts as two: that never lowers the quality.
    n = labels.size
    parent = np.arange(n, dtype=np.int32)
    for v in range(n):
        for e in range(starts[v], starts[v + 1]):
            u = neighbour[e]
            if u > v and labels[u] == labels[v]:
                a, b = _find(parent, v), _find(parent, u)
                if a < b:
                    parent[b] = a
                elif b < a:
                    parent[a] = b
    return _number(parent, n)


@numba.njit(nogil=True, cache=True)
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
    n_iterations: int = 3,
) -> Array:
    """[N] int32 canonical labels of connected communities, by Leiden on CPM or on modularity.

    Parameters
    ----------
    src, dst, weight : [E] each edge once, weights above 0
    resolution : gamma of the objective
    max_size : most nodes of a community, held inside the search; None for no bound
    n_iterations : passes, each starting from the communities of the last; fewer where nothing moves any more
    """
    starts, neighbour, value = _adjacency(n_nodes, src, dst, weight)
    mass, gamma = np.ones(n_nodes), resolution
    if modularity:
        mass = _strength(starts, value)
        gamma = resolution / max(mass.sum(), np.finfo(np.float64).tiny)
    cap = n_nodes if max_size is None else max_size
    labels: Array = _connected(starts, neighbour, _leiden(starts, neighbour, value, mass, gamma, cap, n_iterations))[0]
    return labels
