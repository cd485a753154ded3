"""Rounds of moves that do not touch each other, for Leiden on a GPU.

In each round every waiting node bids for the community it prefers. Both communities concerned, the one it would leave
and the one it would join, go to their best bidder, and a node moves only if it holds both. So no two moves of a round
share a community: their gains add up exactly, the quality never falls, and neighbours cannot swap places. (Colouring
nodes by the parity of t + y + x would prevent swaps too, but only on a lattice.) Claims are integer maxima and sums
have a fixed order, so labels are the same on every run.

A round is a few kernels over all nodes, whatever waits, and the host looks only every few rounds whether any does: a
round in which none waits changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.rows import SIZES, blocks, launch
from stgraph.kernels.gpu.sums import group_sums, segment_sums

_BLOCK = 128
_ROUNDS = 8  # between two looks at most; the first ones come after 1, 2 and 4
_HASH: tl.constexpr = tl.constexpr(0x9E3779B1)  # odd, so that multiples are distinct modulo 2^31
_LAST: tl.constexpr = tl.constexpr(2**31 - 1)


@triton.jit
def _is_open(outward, group_mass, whole, c, gamma, there):  # type: ignore[no-untyped-def]
    """Whether pieces are well connected to the rest of their community."""
    own = tl.load(group_mass + c, mask=there, other=0.0)
    rest = tl.load(whole + c, mask=there, other=0.0) - own
    return there & (tl.load(outward + c, mask=there, other=0.0) >= gamma * own * rest)


@triton.jit
def _weight_to(  # type: ignore[no-untyped-def]
    group, neighbour, value, labels, begin, degree, longest, there, BLOCK: tl.constexpr
):
    """Weight of each node's edges to the members of its ``group``, added in the order of its neighbours."""
    weight = tl.zeros([BLOCK], tl.float64)
    j = 0
    while j < longest:
        here = there & (j < degree)
        other = tl.load(labels + tl.load(neighbour + begin + j, mask=here, other=0), mask=here, other=-1)
        weight += tl.where(here & (other == group), tl.load(value + begin + j, mask=here, other=0.0), 0.0)
        j += 1
    return weight


@triton.jit(do_not_specialize=SIZES)
def _bids(  # type: ignore[no-untyped-def]
    starts, neighbour, value, mass, size, labels, group_mass, group_size, members, within, outward, whole,
    waits, target, gain, link, flags, claim, called, state, gamma, cap, n,
    BLOCK: tl.constexpr, REFINE: tl.constexpr,
):  # fmt: skip
    """For each waiting node: the community it would join, the gain over staying, and the weight of its edges there. If
    none is better: its own community, with the gain of leaving it for an empty one; ``flags`` [2, n] says who would,
    and which communities are empty. ``gamma`` is in memory, since a kernel takes numbers in float32. Clears what the
    round notes later."""
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = v < n
    tl.store(claim + v, tl.zeros([BLOCK], tl.int64), mask=there)
    tl.store(called + v, tl.zeros([BLOCK], tl.int8), mask=there)
    tl.store(state, 0)
    gamma = tl.load(gamma)
    own = tl.load(labels + v, mask=there, other=0)
    inside = there & (tl.load(waits + v, mask=there, other=0) != 0)
    if REFINE:
        inside = inside & (own == v) & (tl.load(members + own, mask=there, other=0) == 1)
        inside = _is_open(outward, group_mass, whole, v, gamma, inside)
    begin = tl.load(starts + v, mask=inside, other=0)
    degree = tl.load(starts + v + 1, mask=inside, other=0) - begin
    longest = tl.max(degree, 0)
    own_mass = tl.load(mass + v, mask=inside, other=0.0)
    own_size = tl.load(size + v, mask=inside, other=0)
    pull = gamma * own_mass
    held = _weight_to(own, neighbour, value, labels, begin, degree, longest, inside, BLOCK)
    stay = held - pull * (tl.load(group_mass + own, mask=inside, other=0.0) - own_mass)
    least = 1e-10 * (tl.abs(stay) + pull * own_mass)
    best, most, tied = own, stay, held
    i = 0
    while i < longest:
        to = inside & (i < degree)
        u = tl.load(neighbour + begin + i, mask=to, other=0)
        c = tl.load(labels + u, mask=to, other=-1)
        to = to & (c != own)
        to = to & (tl.load(group_size + c, mask=to, other=0) + own_size <= cap)
        if REFINE:
            to = to & (tl.load(within + u, mask=to, other=-1) == tl.load(within + v, mask=inside, other=-2))
            to = _is_open(outward, group_mass, whole, c, gamma, to)
        weight = _weight_to(c, neighbour, value, labels, begin, degree, longest, to, BLOCK)
        found = weight - pull * tl.load(group_mass + c, mask=to, other=0.0)
        better = to & ((found > most + least) | ((best != own) & (c < best) & (found >= most)))
        best, most, tied = tl.where(better, c, best), tl.where(better, found, most), tl.where(better, weight, tied)
        i += 1
    gains = tl.where(inside, tl.where(best != own, most - stay, -stay - least), 0.0)
    tl.store(target + v, best, mask=there)
    tl.store(gain + v, gains, mask=there)
    tl.store(link + v, tied, mask=there)
    if not REFINE:
        leaves = inside & (best == own) & (gains > 0) & (tl.load(members + own, mask=inside, other=0) > 1)
        tl.store(flags + v, leaves.to(tl.int32), mask=there)
        tl.store(flags + n + v, (tl.load(members + v, mask=there, other=1) == 0).to(tl.int32), mask=there)


@triton.jit(do_not_specialize=SIZES)
def _empties(flags, ranks, empty, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """The empty communities in ascending order."""
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_empty = (v < n) & (tl.load(flags + n + v, mask=v < n, other=0) != 0)
    tl.store(empty + tl.load(ranks + n + v, mask=v < n, other=1) - 1, v, mask=is_empty)


@triton.jit(do_not_specialize=[*SIZES, "salt"])
def _claims(  # type: ignore[no-untyped-def]
    labels, target, gain, flags, ranks, empty, key, claim, salt, n, BLOCK: tl.constexpr, REFINE: tl.constexpr
):  # fmt: skip
    """Claim both communities for each bidder, by the larger gain (not while refining) and then by a number unique to
    each node. Nodes that leave and join no other get an empty community each, as long as there are any."""
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = v < n
    own, best = tl.load(labels + v, mask=there, other=0), tl.load(target + v, mask=there, other=0)
    gains = tl.load(gain + v, mask=there, other=0.0)
    number = (v.to(tl.int64) * _HASH + salt * 7919) & _LAST
    if not REFINE:
        rank = tl.load(ranks + v, mask=there, other=1)
        fits = there & (tl.load(flags + v, mask=there, other=0) != 0) & (rank <= tl.load(ranks + n + n - 1))
        best = tl.where(fits, tl.load(empty + rank - 1, mask=fits, other=0), best)
        tl.store(target + v, best, mask=fits)
        number = (tl.maximum(gains, 0.0).to(tl.float32).to(tl.int32, bitcast=True).to(tl.int64) << 31) | number
    wants = there & (best != own) & (gains > 0)
    tl.store(key + v, tl.where(wants, number + 1, 0), mask=there)
    tl.atomic_max(claim + own, number + 1, mask=wants, sem="relaxed")
    tl.atomic_max(claim + best, number + 1, mask=wants, sem="relaxed")


@triton.jit(do_not_specialize=SIZES)
def _moves(  # type: ignore[no-untyped-def]
    mass, size, labels, group_mass, group_size, members, outward, target, link, key, claim, called, moved, state, n,
    BLOCK: tl.constexpr, REFINE: tl.constexpr,
):  # fmt: skip
    """Move each node that holds both communities, which then no other does; the other bidders wait for the next round.
    ``state`` says whether any node waits, and counts moves."""
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = v < n
    a, b = tl.load(labels + v, mask=there, other=0), tl.load(target + v, mask=there, other=0)
    own = tl.load(key + v, mask=there, other=0)
    wants = own > 0
    wins = wants & (tl.load(claim + a, mask=wants, other=0) == own) & (tl.load(claim + b, mask=wants, other=0) == own)
    weight, count = tl.load(mass + v, mask=wins, other=0.0), tl.load(size + v, mask=wins, other=0)
    tl.store(group_mass + a, tl.load(group_mass + a, mask=wins, other=0.0) - weight, mask=wins)
    tl.store(group_mass + b, tl.load(group_mass + b, mask=wins, other=0.0) + weight, mask=wins)
    tl.store(group_size + a, tl.load(group_size + a, mask=wins, other=0) - count, mask=wins)
    tl.store(group_size + b, tl.load(group_size + b, mask=wins, other=0) + count, mask=wins)
    tl.store(members + a, tl.load(members + a, mask=wins, other=0) - 1, mask=wins)
    tl.store(members + b, tl.load(members + b, mask=wins, other=0) + 1, mask=wins)
    if REFINE:
        less = tl.load(outward + a, mask=wins, other=0.0) - 2.0 * tl.load(link + v, mask=wins, other=0.0)
        tl.store(outward + b, tl.load(outward + b, mask=wins, other=0.0) + less, mask=wins)
    tl.store(labels + v, b, mask=wins)
    tl.store(moved + v, wins.to(tl.int8), mask=there)
    again = wants & ~wins
    tl.store(called + v, again.to(tl.int8), mask=there)
    tl.atomic_max(state, tl.max(again.to(tl.int64), 0), sem="relaxed")
    tl.atomic_add(state + 1, tl.sum(wins.to(tl.int64), 0), sem="relaxed")


@triton.jit(do_not_specialize=SIZES)
def _calls(row, neighbour, labels, moved, called, state, n_edges, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Neighbours that a node has moved away from, or not to, wait for the next round."""
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    a, b = tl.load(row + e, mask=e < n_edges, other=0), tl.load(neighbour + e, mask=e < n_edges, other=0)
    calls = (e < n_edges) & (tl.load(moved + a, mask=e < n_edges, other=0) != 0)
    calls = calls & (tl.load(labels + a, mask=calls, other=0) != tl.load(labels + b, mask=calls, other=0))
    tl.store(called + b, tl.full([BLOCK], 1, tl.int8), mask=calls)
    tl.atomic_max(state, tl.max(calls.to(tl.int64), 0), sem="relaxed")


@dataclass(frozen=True, eq=False)
class Level:
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


class Search:
    """Moves at one level, in place: between communities or, with ``within``, from single nodes into pieces of their
    community ``within`` that are well connected to its rest.

    Attributes
    ----------
    labels : [n] int32, communities
    state : [2] int64: whether any node waits, and moves so far
    """

    def __init__(self, level: Level, labels: Any, gamma: float, cap: int, within: Any = None, salt: int = 0) -> None:
        n, device, index = level.n, labels.device, labels.long()
        self.level, self.labels = level, labels
        self._how = (torch.full((1,), gamma, dtype=torch.float64, device=device), cap, n)
        self._within, self._salt = within, salt
        self._mass = group_sums(level.mass, labels, n)
        self._size = torch.zeros(n, dtype=torch.int64, device=device).index_add_(0, index, level.size)
        self._members = torch.zeros(n, dtype=torch.int32, device=device).index_add_(0, index, torch.ones_like(labels))
        self._outward = self._whole = self._mass  # not read
        if within is not None:
            same = within[level.row] == within[level.neighbour]
            self._outward = segment_sums(torch.where(same, level.value, 0.0), level.starts)
            self._whole = group_sums(level.mass, within, n)[within.long()]
        self._waits = torch.ones(n, dtype=torch.int8, device=device)
        self._called, self._moved = torch.empty((2, n), dtype=torch.int8, device=device)
        self._target, self._empty = torch.empty((2, n), dtype=torch.int32, device=device)
        self._gain, self._link = torch.empty((2, n), dtype=torch.float64, device=device)
        self._claim, self._key = torch.empty((2, n), dtype=torch.int64, device=device)
        self._flags = torch.empty(2 * n, dtype=torch.int32, device=device).reshape(2, n)
        self.state = torch.zeros(2, dtype=torch.int64, device=device)

    def round(self) -> None:
        """Let every waiting node bid, and make the moves that touch no community in common."""
        level, n, refine = self.level, self.level.n, self._within is not None
        grid = (blocks(n, _BLOCK),)
        of_groups = (self._mass, self._size, self._members)
        launch(
            _bids, grid, level.starts, level.neighbour, level.value, level.mass, level.size, self.labels, *of_groups,
            self._within if refine else self.labels, self._outward, self._whole, self._waits, self._target, self._gain,
            self._link, self._flags, self._claim, self._called, self.state, *self._how, _BLOCK, refine,
        )  # fmt: skip
        ranks = self._flags
        if not refine:
            ranks = self._flags.cumsum(1, dtype=torch.int32)
            launch(_empties, grid, self._flags, ranks, self._empty, n, _BLOCK)
        launch(
            _claims, grid, self.labels, self._target, self._gain, self._flags, ranks, self._empty, self._key,
            self._claim, self._salt, n, _BLOCK, refine,
        )  # fmt: skip
        launch(
            _moves, grid, level.mass, level.size, self.labels, *of_groups, self._outward, self._target, self._link,
            self._key, self._claim, self._called, self._moved, self.state, n, _BLOCK, refine,
        )  # fmt: skip
        if n_ends := level.row.numel():
            ends = (level.row, level.neighbour)
            launch(
                _calls, (blocks(n_ends, _BLOCK),), *ends, self.labels, self._moved, self._called, self.state, n_ends,
                _BLOCK,
            )  # fmt: skip
        self._waits, self._called = self._called, self._waits

    def run(self) -> int:
        """Make rounds until no node waits; the number of moves."""
        n_rounds = 1
        while self.level.n:
            for _ in range(n_rounds):
                self.round()
            waits, moves = self.state.tolist()
            if not waits:
                return int(moves)
            n_rounds = min(2 * n_rounds, _ROUNDS)
        return 0
