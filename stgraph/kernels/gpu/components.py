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
def _flatten(parent, root, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    up = tl.load(parent + i, mask=i < n, other=0)
    above = tl.load(parent + up, mask=i < n, other=0)
    while tl.sum(((above != up) & (i < n)).to(tl.int32), 0) > 0:
        up = above
        above = tl.load(parent + up, mask=i < n, other=0)
    tl.store(root + i, up, mask=i < n)


@triton.jit(do_not_specialize=SIZES)
def _first_nodes(labels, first, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    label = tl.load(labels + i, mask=i < n, other=0)
    known = tl.load(first + label, mask=i < n, other=0)
    tl.atomic_min(first + label, i, mask=(i < n) & (i < known), sem="relaxed")


@triton.jit(do_not_specialize=SIZES)
def _roots_of_labels(labels, first, root, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    label = tl.load(labels + i, mask=i < n, other=0)
    tl.store(root + i, tl.load(first + label, mask=i < n, other=0), mask=i < n)


@triton.jit(do_not_specialize=SIZES)
def _own_roots(root, is_root, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(is_root + i, (tl.load(root + i, mask=i < n, other=-1) == i).to(tl.int32), mask=i < n)


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


def roots(parent: Any) -> Any:
    """[N] int32: the end of each node's chain of parents ([N] int32, a root is its own)."""
    return _filled(_flatten, parent, torch.empty_like(parent))


def component_roots(n_nodes: int, src: Any, dst: Any) -> Any:
    """[N] int32: the smallest node of each node's component. Does not wait for the device."""
    parent = torch.arange(n_nodes, dtype=torch.int32, device=src.device)
    if src.numel():
        launch(_link, (blocks(src.numel(), _BLOCK),), parent, src, dst, src.numel(), _BLOCK)
    return roots(parent)


def connected_components(n_nodes: int, src: Any, dst: Any) -> tuple[Any, int]:
    """Canonical component labels ([N] int32, numbered by smallest node) and their number, for which it waits."""
    labels, count = numbered(component_roots(n_nodes, src, dst))
    return labels, int(count)


def numbered(root: Any) -> tuple[Any, Any]:
    """Labels 0, 1, ... of groups known by their smallest node ([N] int32), in its order, and their number, on the
    device. Does not wait for it."""
    if root.numel() == 0:
        return root, 0
    rank = _filled(_own_roots, root, torch.empty_like(root)).cumsum(0, dtype=torch.int32)
    labels = torch.empty_like(root)
    launch(_ranks_of_roots, (blocks(root.numel(), _BLOCK),), root, rank, labels, root.numel(), _BLOCK)
    return labels, rank[-1]


def numbered_labels(labels: Any, bound: int) -> tuple[Any, Any]:
    """:func:`numbered` of groups known by any label in [0, bound) ([N] int32)."""
    n = labels.numel()
    first = torch.full((bound,), n, dtype=torch.int32, device=labels.device)
    root = torch.empty_like(labels)
    launch(_first_nodes, (blocks(n, _BLOCK),), labels, first, n, _BLOCK)
    launch(_roots_of_labels, (blocks(n, _BLOCK),), labels, first, root, n, _BLOCK)
    return numbered(root)


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
    found, count = numbered_labels(labels.int(), high + 1)
    return found, int(count)


def group_sizes(labels: Any) -> Any:
    """[N] int64: nodes of each group, 0 for numbers no label has; its length is known without a look at the labels."""
    return _filled(_count, labels, torch.zeros(labels.numel(), dtype=torch.int64, device=labels.device))


def group_members(labels: Any, n_groups: int) -> tuple[Any, Any]:
    """Nodes sorted by (label, node) ([N] int32), and where each group starts ([n_groups + 1] int64)."""
    ordered, members = torch.sort(labels, stable=True)
    bounds = torch.arange(n_groups + 1, dtype=labels.dtype, device=labels.device)
    return members.int(), torch.searchsorted(ordered, bounds)


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


def _filled(kernel: Any, values: Any, out: Any) -> Any:
    """``out``, written by a kernel with a lane for each of ``values``."""
    if values.numel():
        launch(kernel, (blocks(values.numel(), _BLOCK),), values, out, values.numel(), _BLOCK)
    return out
