"""Connected components by union-find, and the canonical numbering of labels."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.rows import SIZES, blocks, launch

_BLOCK = 256


@triton.jit
def _root(parent, i, active):  # type: ignore[no-untyped-def]
    """The root of each active node. On the way every node is tied to its grandparent, an ancestor whatever other
    programs do. Loads bypass L1, which knows nothing of what other processors write."""
    up = tl.load(parent + i, mask=active, other=0, cache_modifier=".cg")
    moving = active & (up != i)
    while tl.sum(moving.to(tl.int32), 0) > 0:
        above = tl.load(parent + up, mask=moving, other=0, cache_modifier=".cg")
        tl.store(parent + i, above, mask=moving & (above != up))
        i = tl.where(moving, up, i)
        up = tl.where(moving, above, up)
        moving = moving & (up != i)
    return i


@triton.jit
def unite(parent, a, b, active):  # type: ignore[no-untyped-def]
    """Tie the larger root to the smaller, for every active pair.

    Whatever the schedule, what pointers and the pairs still in work hold together only grows: an atomic that replaces a
    pointer leaves the pair (old target, new target) to be worked off, and a shortened path leads to an ancestor of old.
    Parents are smaller than their children, so each tree ends at its smallest node.
    """
    while tl.sum(active.to(tl.int32), 0) > 0:
        a, b = _root(parent, a, active), _root(parent, b, active)
        high, low = tl.maximum(a, b), tl.minimum(a, b)
        active = active & (high != low)
        before = tl.atomic_min(parent + high, low, mask=active, sem="relaxed")
        # Where `high` was no root any more, what it was tied to before has to meet `low` as well.
        active = active & (before != high)
        a, b = tl.where(active, before, a), tl.where(active, low, b)


@triton.jit
def group_of(starts, position, n_groups):  # type: ignore[no-untyped-def]
    """The group each position of the sorted members belongs to, by bisection."""
    low = position * 0
    high = low + n_groups
    while tl.max(high - low, 0) > 1:
        middle = (low + high) // 2
        before = tl.load(starts + middle) <= position
        low, high = tl.where(before, middle, low), tl.where(before, high, middle)
    return low


@triton.jit(do_not_specialize=SIZES)
def _link(parent, src, dst, n_edges, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    active = e < n_edges
    unite(parent, tl.load(src + e, mask=active, other=0), tl.load(dst + e, mask=active, other=0), active)


@triton.jit(do_not_specialize=SIZES)
def _flatten(parent, root, about, n, BLOCK: tl.constexpr, COUNTED: tl.constexpr):  # type: ignore[no-untyped-def]
    """The root of each node. ``about`` says whether a node is one, or (COUNTED) gains the number of its nodes."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    up = tl.load(parent + i, mask=i < n, other=0)
    above = tl.load(parent + up, mask=i < n, other=0)
    while tl.sum(((above != up) & (i < n)).to(tl.int32), 0) > 0:
        up = above
        above = tl.load(parent + up, mask=i < n, other=0)
    tl.store(root + i, up, mask=i < n)
    if COUNTED:
        tl.atomic_add(about + up, tl.full([BLOCK], 1, tl.int32), mask=i < n, sem="relaxed")
    else:
        tl.store(about + i, (up == i).to(tl.int32), mask=i < n)


@triton.jit(do_not_specialize=SIZES)
def _first_nodes(labels, first, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    label = tl.load(labels + i, mask=i < n, other=0)
    known = tl.load(first + label, mask=i < n, other=0)
    tl.atomic_min(first + label, i, mask=(i < n) & (i < known), sem="relaxed")


@triton.jit(do_not_specialize=SIZES)
def _roots_of_labels(labels, first, root, is_root, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    label = tl.load(labels + i, mask=i < n, other=0)
    found = tl.load(first + label, mask=i < n, other=0)
    tl.store(root + i, found, mask=i < n)
    tl.store(is_root + i, (found == i).to(tl.int32), mask=i < n)


@triton.jit(do_not_specialize=SIZES)
def _ranks_of_roots(root, rank, labels, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    own = tl.load(root + i, mask=i < n, other=0)
    tl.store(labels + i, tl.load(rank + own, mask=i < n, other=1) - 1, mask=i < n)


@triton.jit(do_not_specialize=SIZES)
def _count(labels, sizes, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    label = tl.load(labels + i, mask=i < n, other=0)
    tl.atomic_add(sizes + label, tl.full([BLOCK], 1, tl.int64), mask=i < n, sem="relaxed")


@triton.jit(do_not_specialize=SIZES)
def _bounds(ordered, places, members, starts, n, n_groups, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Places in 32 bits, and by bisection the first place of each label or a larger one."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(members + i, tl.load(places + i, mask=i < n, other=0).to(tl.int32), mask=i < n)
    low = i * 0
    high = low + n
    while tl.max(high - low, 0) > 0:
        open_ = low < high
        middle = (low + high) // 2
        less = tl.load(ordered + middle, mask=open_, other=0) < i
        low = tl.where(open_ & less, middle + 1, low)
        high = tl.where(open_ & (less == 0), middle, high)
    tl.store(starts + i, low.to(tl.int64), mask=i <= n_groups)


def counted_roots(parent: Any, sizes: Any) -> Any:
    """[N] int32: the end of each node's chain of parents ([N] int32, a root is its own), which is the smallest of its
    component; ``sizes`` ([N] int32, zeros) gains the number of its nodes. Does not wait for the device."""
    n, root = parent.numel(), torch.empty_like(parent)
    launch(_flatten, (blocks(n, _BLOCK),), parent, root, sizes, n, _BLOCK, True)
    return root


def connected_components(n_nodes: int, src: Any, dst: Any) -> tuple[Any, int]:
    """Canonical component labels ([N] int32, numbered by smallest node) and their number, for which it waits."""
    parent = torch.arange(n_nodes, dtype=torch.int32, device=src.device)
    if src.numel():
        launch(_link, (blocks(src.numel(), _BLOCK),), parent, src, dst, src.numel(), _BLOCK)
    labels, count = numbered(parent)
    return labels, int(count)


def numbered(parent: Any) -> tuple[Any, Any]:
    """Labels 0, 1, ... ([N] int32) of the trees that chains of parents ([N] int32, a root is its own and the smallest
    node) form, in the order of their roots, and their number, on the device. Does not wait for it."""
    n = parent.numel()
    if n == 0:
        return parent, 0
    root, is_root = torch.empty((2, n), dtype=torch.int32, device=parent.device)
    launch(_flatten, (blocks(n, _BLOCK),), parent, root, is_root, n, _BLOCK, False)
    return _ranked(root, is_root)


def numbered_labels(labels: Any, first: Any) -> tuple[Any, Any]:
    """:func:`numbered` of groups known by labels ([N] int32) whose first node is ``first[label]`` (int32)."""
    n = labels.numel()
    root, is_root = torch.empty((2, n), dtype=torch.int32, device=labels.device)
    launch(_roots_of_labels, (blocks(n, _BLOCK),), labels, first, root, is_root, n, _BLOCK)
    return _ranked(root, is_root)


def _ranked(root: Any, is_root: Any) -> tuple[Any, Any]:
    n, rank, labels = root.numel(), is_root.cumsum(0, dtype=torch.int32), torch.empty_like(root)
    launch(_ranks_of_roots, (blocks(n, _BLOCK),), root, rank, labels, n, _BLOCK)
    return labels, rank[-1]


def canonical_labels(labels: Any) -> tuple[Any, int]:
    """Labels renumbered by first occurrence ([N] int32), and the number of groups. Any integer labels will do.

    Waits for their range and their number; and for the distinct ones where the range is wide.
    """
    n = labels.numel()
    if n == 0:
        return labels.int(), 0
    low, high = torch.stack(torch.aminmax(labels)).tolist()
    if low < 0 or high >= 4 * n:
        labels, high = torch.unique(labels, return_inverse=True)[1], n - 1
    labels = labels.int()
    first = torch.full((high + 1,), n, dtype=torch.int32, device=labels.device)
    launch(_first_nodes, (blocks(n, _BLOCK),), labels, first, n, _BLOCK)
    found, count = numbered_labels(labels, first)
    return found, int(count)


def group_sizes(labels: Any) -> Any:
    """[N] int64: nodes of each group, 0 for numbers no label has; its length is known without a look at the labels."""
    n, sizes = labels.numel(), torch.zeros(labels.numel(), dtype=torch.int64, device=labels.device)
    if n:
        launch(_count, (blocks(n, _BLOCK),), labels, sizes, n, _BLOCK)
    return sizes


def group_members(labels: Any, n_groups: int) -> tuple[Any, Any]:
    """Nodes sorted by (label, node) ([N] int32), and where each group starts ([n_groups + 1] int64)."""
    n, device = labels.numel(), labels.device
    ordered, places = torch.sort(labels, stable=True)
    members = torch.empty(n, dtype=torch.int32, device=device)
    starts = torch.empty(n_groups + 1, dtype=torch.int64, device=device)
    grid = (blocks(max(n, n_groups + 1), _BLOCK),)
    launch(_bounds, grid, ordered, places, members, starts, n, n_groups, _BLOCK)
    return members, starts


def without_isolated(n_nodes: int, src: Any, dst: Any) -> tuple[Any, int, Any, Any]:
    """Renumber the nodes that have an edge 0..count-1, in order. Waits for their number.

    Returns (place [N] int32 with -1 for isolated nodes, count, src, dst).
    """
    a, b = src.long(), dst.long()
    has_edge = torch.zeros(n_nodes, dtype=torch.bool, device=src.device)
    has_edge[a] = True
    has_edge[b] = True
    rank = has_edge.cumsum(0, dtype=torch.int32)
    place = torch.where(has_edge, rank - 1, -1)
    return place, int(rank[-1]) if n_nodes else 0, place[a], place[b]


def with_isolated(place: Any, labels: Any, count: int) -> Any:
    """[N] int32 labels from those of the nodes with an edge (0..count-1): each other node is a group of its own."""
    alone = place < 0
    own = count - 1 + alone.cumsum(0, dtype=torch.int32)
    return torch.where(alone, own, labels[place.clamp(min=0).long()])
