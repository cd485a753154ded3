"""Leiden on a GPU: the twin of ``kernels/cpu/leiden.py``, in rounds of moves that do not touch each other.

In each round every waiting node bids for the community it prefers. Both communities concerned, the one it would leave
and the one it would join, go to their best bidder, and a node moves only if it holds both. So no two moves of a round
share a community: their gains add up exactly, the quality never falls, and neighbours cannot swap places. (Colouring
nodes by the parity of t + y + x would prevent swaps too, but only on a lattice.) Claims are integer maxima and sums
have a fixed order, so labels are the same on every run. They differ from the CPU's, which moves one node at a time;
tests/gpu/test_gpu_leiden.py compares the quality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.components import canonical_labels, connected_components
from stgraph.kernels.gpu.lattice_boxes import box_pieces
from stgraph.kernels.gpu.rows import SIZES, blocks, launch
from stgraph.kernels.gpu.sums import group_sums, merged_edges, segment_sums

_BLOCK = 128
_HASH = 0x9E3779B1  # odd, so that multiples are distinct modulo 2^31
_LAST = 2**31 - 1


@triton.jit(do_not_specialize=SIZES)
def _bids(  # type: ignore[no-untyped-def]
    starts, neighbour, value, mass, size, labels, group_mass, group_size, within, open_to, nodes,
    target, gain, link, gamma, cap, n,
    BLOCK: tl.constexpr, REFINE: tl.constexpr,
):  # fmt: skip
    """For each of ``nodes``: the community it would join, the gain over staying, and the weight of its edges there. If
    none is better: its own community, with the gain of leaving it for an empty one."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    v = tl.load(nodes + at, mask=inside, other=0)
    begin = tl.load(starts + v, mask=inside, other=0)
    degree = tl.load(starts + v + 1, mask=inside, other=0) - begin
    longest = tl.max(degree, 0)
    own = tl.load(labels + v, mask=inside, other=0)
    own_mass = tl.load(mass + v, mask=inside, other=0.0)
    own_size = tl.load(size + v, mask=inside, other=0)
    pull = gamma * own_mass
    held = tl.zeros([BLOCK], tl.float64)
    j = 0
    while j < longest:
        there = inside & (j < degree)
        other = tl.load(labels + tl.load(neighbour + begin + j, mask=there, other=0), mask=there, other=-1)
        held += tl.where(there & (other == own), tl.load(value + begin + j, mask=there, other=0.0), 0.0)
        j += 1
    stay = held - pull * (tl.load(group_mass + own, mask=inside, other=0.0) - own_mass)
    least = 1e-10 * (tl.abs(stay) + pull * own_mass)
    best, most, tied = own, stay, held
    i = 0
    while i < longest:
        there = inside & (i < degree)
        u = tl.load(neighbour + begin + i, mask=there, other=0)
        c = tl.load(labels + u, mask=there, other=-1)
        there = there & (c != own)
        there = there & (tl.load(group_size + c, mask=there, other=0) + own_size <= cap)
        if REFINE:
            there = there & (tl.load(within + u, mask=there, other=-1) == tl.load(within + v, mask=inside, other=-2))
            there = there & (tl.load(open_to + c, mask=there, other=0) != 0)
        weight = tl.zeros([BLOCK], tl.float64)
        j = 0
        while j < longest:
            too = there & (j < degree)
            other = tl.load(labels + tl.load(neighbour + begin + j, mask=too, other=0), mask=too, other=-1)
            weight += tl.where(too & (other == c), tl.load(value + begin + j, mask=too, other=0.0), 0.0)
            j += 1
        found = weight - pull * tl.load(group_mass + c, mask=there, other=0.0)
        better = there & ((found > most + least) | ((best != own) & (c < best) & (found >= most)))
        best, most, tied = tl.where(better, c, best), tl.where(better, found, most), tl.where(better, weight, tied)
        i += 1
    tl.store(target + at, best, mask=inside)
    tl.store(gain + at, tl.where(best != own, most - stay, -stay - least), mask=inside)
    tl.store(link + at, tied, mask=inside)


@dataclass(frozen=True, eq=False)
class _Level:
    """Graph at one level: [n + 1] starts; row, neighbour and weight for each end of an edge; masses and sizes [n]."""

    starts: Any
    row: Any
    neighbour: Any
    value: Any
    mass: Any
    size: Any

    @property
    def n(self) -> int:
        return int(self.size.numel())


def _move(level: _Level, labels: Any, gamma: float, cap: int) -> int:
    """Move nodes in place until none gains; return the number of moves."""
    return _rounds(level, labels, gamma, cap, None, 0)


def _refine(level: _Level, labels: Any, gamma: float, cap: int, salt: int) -> Any:
    """[n] connected pieces, grown from single nodes inside the communities."""
    piece = torch.arange(level.n, dtype=torch.int32, device=labels.device)
    _rounds(level, piece, gamma, cap, labels, salt)
    return piece


def _rounds(level: _Level, labels: Any, gamma: float, cap: int, within: Any, salt: int) -> int:
    """Make rounds of moves in place: between communities or, with ``within``, from single nodes into pieces of their
    community that are well connected to its rest."""
    n, device, refine = level.n, labels.device, within is not None
    index = labels.long()
    group_mass = group_sums(level.mass, labels, n)
    group_size = torch.zeros(n, dtype=torch.int64, device=device).index_add_(0, index, level.size)
    members = torch.zeros(n, dtype=torch.int32, device=device).index_add_(0, index, torch.ones_like(labels))
    outward: Any = None
    whole: Any = None
    if refine:
        same = within[level.row] == within[level.neighbour]
        outward = segment_sums(torch.where(same, level.value, 0.0), level.starts)
        whole = group_sums(level.mass, within, n)[within.long()]
    waits, moves = torch.ones(n, dtype=torch.bool, device=device), 0
    while True:
        open_to = labels
        if refine:
            well = outward >= gamma * group_mass * (whole - group_mass)
            open_to, waits = (
                well.to(torch.int32),
                waits & well & (members[labels.long()] == 1) & (labels == _own(n, device)),
            )
        nodes = waits.nonzero().reshape(-1)
        if not nodes.numel():
            return moves
        target, gain, link = _asked(level, labels, group_mass, group_size, within, open_to, nodes, gamma, cap)
        source = labels[nodes]
        stays = target == source
        if not refine:
            target = _with_empty(target, stays & (gain > 0) & (members[source.long()] > 1), members)
        wants = (target != source) & (gain > 0)
        wins = _claims(nodes, source, target, None if refine else gain, wants, n, salt)
        v, a, b = nodes[wins], source[wins].long(), target[wins].long()
        waits = torch.zeros_like(waits)
        waits[nodes[wants & ~wins]] = True
        if v.numel():
            for total, part in ((group_mass, level.mass), (group_size, level.size)):
                total[a] -= part[v]
                total[b] += part[v]
            members[a] -= 1
            members[b] += 1
            if refine:
                outward[b] += outward[a] - 2.0 * link[wins]
            labels[v] = b.to(labels.dtype)
            moved = torch.zeros_like(waits)
            moved[v] = True
            called = moved[level.row] & (labels[level.row] != labels[level.neighbour])
            waits[level.neighbour[called].long()] = True
            moves += int(v.numel())


def _own(n: int, device: Any) -> Any:
    return torch.arange(n, dtype=torch.int32, device=device)


def _asked(
    level: _Level, labels: Any, group_mass: Any, group_size: Any, within: Any, open_to: Any, nodes: Any, gamma: float,
    cap: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Bids of :func:`_bids` for ``nodes``: target [m] int32, gain and link [m] float64."""
    m = nodes.numel()
    target = torch.empty(m, dtype=torch.int32, device=nodes.device)
    gain, link = (torch.empty(m, dtype=torch.float64, device=nodes.device) for _ in range(2))
    refine = within is not None
    launch(
        _bids, (blocks(m, _BLOCK),), level.starts, level.neighbour, level.value, level.mass, level.size, labels,
        group_mass, group_size, within if refine else labels, open_to, nodes, target, gain, link, gamma, cap, m,
        _BLOCK, refine,
    )  # fmt: skip
    return target, gain, link


def _with_empty(target: Any, leaves: Any, members: Any) -> Any:
    """``target`` with an empty community for each node that leaves but joins no other, as long as there are any."""
    empty = torch.sort((members > 0).to(torch.int8), stable=True)[1].to(target.dtype)
    rank = leaves.cumsum(0) - 1
    fits = leaves & (rank < (members == 0).sum())
    return torch.where(fits, empty[rank.clamp(min=0)], target)


def _claims(nodes: Any, source: Any, target: Any, gain: Any, wants: Any, n: int, salt: int) -> Any:
    """[m] bool: which bidders hold both communities. The largest gain wins; ties, and all bids without ``gain``, are
    decided by a number unique to each node."""
    number = (nodes * _HASH + salt * 7919) & _LAST
    key = number
    if gain is not None:
        key = (gain.clamp(min=0).float().view(torch.int32).long() << 31) | number
    key = torch.where(wants, key + 1, 0)
    claim = torch.zeros(n, dtype=torch.int64, device=nodes.device)
    for community in (source, target):
        claim.scatter_reduce_(0, community.long(), key, "amax")
    return wants & (claim[source.long()] == key) & (claim[target.long()] == key)


def _aggregated(level: _Level, piece: Any, n_pieces: int) -> _Level:
    row, neighbour = piece[level.row].long(), piece[level.neighbour].long()
    apart = row != neighbour
    edges = merged_edges(row[apart], neighbour[apart], level.value[apart], n_pieces)
    size = torch.zeros(n_pieces, dtype=torch.int64, device=piece.device).index_add_(0, piece.long(), level.size)
    return _Level(*edges, group_sums(level.mass, piece, n_pieces), size)


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
    base = _Level(*edges, mass, torch.ones(n_nodes, dtype=torch.int64, device=src.device))
    cap = n_nodes if max_size is None else max_size
    found = box_pieces(*lattice, mass, gamma, cap) if lattice else _own(n_nodes, src.device)
    _move(base, found, gamma, cap)
    for iteration in range(n_iterations):
        found, moves = _pass(base, found, gamma, cap, iteration)
        if not moves:
            break
    inside = found[src.long()] == found[dst.long()]
    return connected_components(n_nodes, src[inside], dst[inside])[0]


def _pass(level: _Level, labels: Any, gamma: float, cap: int, salt: int) -> tuple[Any, int]:
    """Make one pass from the communities ``labels``: refinement, aggregation and moves, level by level, then moves at
    each level on the way back."""
    finer: list[tuple[_Level, Any]] = []
    moves = 0
    while True:
        labels, n_groups = canonical_labels(labels)
        if n_groups == level.n:
            break
        piece, n_pieces = canonical_labels(_refine(level, labels, gamma, cap, salt))
        if n_pieces == level.n:
            break
        finer.append((level, piece.long()))
        level = _aggregated(level, piece, n_pieces)
        communities = torch.empty(n_pieces, dtype=torch.int32, device=labels.device)
        communities[piece.long()] = labels
        labels = communities
        moves += _move(level, labels, gamma, cap)
    for level, piece in reversed(finer):
        labels = labels[piece]
        moves += _move(level, labels, gamma, cap)
    return labels, moves
