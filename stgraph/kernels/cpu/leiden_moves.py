"""The two ways nodes change communities in Leiden: local moving, and refinement inside communities.

Indices of nodes and communities are unsigned, since a signed index costs a check for negative values.
"""

from __future__ import annotations

import numpy as np

from stgraph.kernels.cpu.compiled import compiled


@compiled()
def move(starts, neighbour, value, mass, size, labels, gamma, cap):  # type: ignore[no-untyped-def]
    # Nodes wait in a ring buffer; a node that moves queues its neighbours in other communities again.
    n = mass.size
    group_mass, group_size, members = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int32)
    for v in range(n):
        group_mass[labels[v]] += mass[v]
        group_size[labels[v]] += size[v]
        members[labels[v]] += 1
    empty, n_empty = np.empty(n, np.uint32), 0
    for c in range(n - 1, -1, -1):
        if members[c] == 0:
            empty[n_empty] = c
            n_empty += 1
    ring, waits = np.arange(n, dtype=np.uint32), np.ones(n, np.bool_)
    head, n_waiting, moves = 0, n, 0
    weight_to, seen, touched = np.zeros(n), np.full(n, -1, np.int64), np.empty(n, np.uint32)
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
        least = 1e-10 * (abs(gain) + pull * mass[v])  # largest difference due to rounding
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


@compiled()
def refine(starts, neighbour, value, mass, size, labels, gamma, cap, backwards):  # type: ignore[no-untyped-def]
    # Within each community, from single nodes: a node that is still alone joins the neighbour of the best gain, if both
    # are well connected to the rest of the community. Pieces grow along edges, so each is connected. Going backwards
    # finds other pieces, from which the next moves get out of what the last pass was stuck in.
    n = mass.size
    whole = np.zeros(n)
    for v in range(n):
        whole[labels[v]] += mass[v]
    piece = np.arange(n, dtype=np.uint32)
    piece_mass, piece_size, alone = mass.copy(), size.copy(), np.ones(n, np.bool_)
    outward = np.zeros(n)  # weight from a piece to the rest of its community
    for v in range(n):
        for e in range(starts[v], starts[v + 1]):
            if labels[neighbour[e]] == labels[v]:
                outward[v] += value[e]
    weight_to, seen, touched = np.zeros(n), np.full(n, -1, np.int64), np.empty(n, np.uint32)
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
