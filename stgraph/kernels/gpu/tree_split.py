"""Cutting oversized groups into connected pieces along a breadth-first tree: the same pieces as on the CPU.

A breadth-first queue looks sequential, but its order is fixed by a rule that a whole level can follow at once: a node's
parent is the neighbour that stands first in the queue, and children stand in the order of their parents, then of their
ids. One program walks one tree, level by level, so that it only ever waits for its own threads.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.components import component_roots, group_members, numbered, roots
from stgraph.kernels.gpu.rows import SIZES, launch

_BLOCK = 128
_UNSEEN = 2**31 - 1


@triton.jit(do_not_specialize=SIZES)
def _trees(  # type: ignore[no-untyped-def]
    tree_of, starts, members, near_starts, near, queue, claim, parent, child_starts, open_size, cut, cap,
    BLOCK: tl.constexpr, UNSEEN: tl.constexpr,
):  # fmt: skip
    """Breadth-first tree of one component, rooted at its smallest node, and its greedy bottom-up cut.

    ``queue`` holds the tree's nodes from ``base`` on; ``claim`` [N] the place in it of each node's parent;
    ``child_starts[i]`` where in the queue the children of queue[i] start.
    """
    tree = tl.load(tree_of + tl.program_id(0))
    base, size = tl.load(starts + tree).to(tl.int32), tl.load(starts + tree + 1).to(tl.int32)
    size -= base
    lane = tl.arange(0, BLOCK)
    root = tl.load(members + base)
    tl.store(queue + base, root)
    tl.store(claim + root, -1)
    tl.debug_barrier()
    head, filled = base, base + 1
    while head < filled:
        tail = filled
        # Every node of this level claims its unseen neighbours; the first in the queue wins.
        for first in range(head, tail, BLOCK):
            at = first + lane
            here = at < tail
            node = tl.load(queue + at, mask=here, other=0, cache_modifier=".cg")
            a, b = tl.load(near_starts + node, mask=here, other=0), tl.load(near_starts + node + 1, mask=here, other=0)
            for j in range(tl.max(b - a, 0)):
                other = tl.load(near + a + j, mask=here & (a + j < b), other=0)
                seen = tl.load(claim + other, mask=here & (a + j < b), other=-1, cache_modifier=".cg")
                tl.atomic_min(claim + other, at, mask=here & (a + j < b) & (seen >= head), sem="relaxed")
        tl.debug_barrier()
        # The neighbours a node has won become its children, in ascending order.
        for first in range(head, tail, BLOCK):
            at = first + lane
            here = at < tail
            node = tl.load(queue + at, mask=here, other=0, cache_modifier=".cg")
            a, b = tl.load(near_starts + node, mask=here, other=0), tl.load(near_starts + node + 1, mask=here, other=0)
            degree = tl.max(b - a, 0)
            n_children = tl.zeros([BLOCK], tl.int32)
            for j in range(degree):
                other = tl.load(near + a + j, mask=here & (a + j < b), other=0)
                won = tl.load(claim + other, mask=here & (a + j < b), other=-1, cache_modifier=".cg") == at
                n_children += (won & here & (a + j < b)).to(tl.int32)
            slot = filled + tl.cumsum(n_children, 0) - n_children
            tl.store(child_starts + at, slot, mask=here)
            for j in range(degree):
                other = tl.load(near + a + j, mask=here & (a + j < b), other=0)
                won = tl.load(claim + other, mask=here & (a + j < b), other=-1, cache_modifier=".cg") == at
                won = won & here & (a + j < b)
                tl.store(queue + slot, other, mask=won)
                tl.store(parent + other, node, mask=won)
                slot += won.to(tl.int32)
            filled += tl.sum(n_children, 0)
        tl.debug_barrier()
        head = tail
    # Backwards in the queue children come before parents. Of each block the end is dealt with whose children lie behind
    # the block; it is never empty, for children lie behind their parent.
    end = base + size
    left = end
    while left > base:
        first = tl.maximum(left - BLOCK, base)
        at = first + lane
        here = at < left
        a = tl.load(child_starts + at, mask=here, other=0, cache_modifier=".cg")
        b = tl.load(child_starts + at + 1, mask=here & (at + 1 < end), other=0, cache_modifier=".cg")
        b = tl.where(at + 1 < end, b, end)
        lowest = tl.max(tl.where(here & (a < left) & (a < b), at, first - 1), 0) + 1
        now = here & (at >= lowest)
        node = tl.load(queue + at, mask=now, other=0, cache_modifier=".cg")
        total = tl.full([BLOCK], 1, tl.int32)
        last_size, last_place = tl.zeros([BLOCK], tl.int32), tl.full([BLOCK], -1, tl.int32)
        most = tl.max(tl.where(now, b - a, 0), 0)
        for _ in range(most):
            # The smallest open piece not looked at yet; of equal ones the first in the queue.
            best_size, best_place = tl.full([BLOCK], UNSEEN, tl.int32), tl.full([BLOCK], -1, tl.int32)
            for j in range(most):
                place = a + j
                child = tl.load(queue + place, mask=now & (place < b), other=0, cache_modifier=".cg")
                piece = tl.load(open_size + child, mask=now & (place < b), other=UNSEEN, cache_modifier=".cg")
                later = (piece > last_size) | ((piece == last_size) & (place > last_place))
                better = now & (place < b) & later & (piece < best_size)
                best_size = tl.where(better, piece, best_size)
                best_place = tl.where(better, place, best_place)
            found = best_place >= 0
            fits = found & (total + best_size <= cap)
            total += tl.where(fits, best_size, 0)
            child = tl.load(queue + best_place, mask=found, other=0, cache_modifier=".cg")
            tl.store(cut + child, 1, mask=found & ~fits)
            last_size, last_place = tl.where(found, best_size, last_size), tl.where(found, best_place, last_place)
        tl.store(open_size + node, total, mask=now)
        tl.debug_barrier()
        left = lowest


def _adjacency(n: int, src: Any, dst: Any) -> tuple[Any, Any]:
    """Neighbours of each node in ascending order: starts [n + 1] int32, and neighbours [2E] int32."""
    one, other = torch.cat([src, dst]).long(), torch.cat([dst, src]).long()
    key = torch.sort(one * n + other).values
    bounds = torch.arange(n + 1, device=src.device) * n
    return torch.searchsorted(key, bounds).int(), (key % n).int()


def split_trees(src: Any, dst: Any, labels: Any, sizes: Any, cap: int) -> Any:
    """Labels ([N] int32) in which every group larger than ``cap`` is cut into connected pieces.

    Greedy bottom-up cut of the breadth-first tree rooted at each group's smallest node. Waits for the number of
    components in oversized groups, for that of components to be cut, and for that of pieces.

    Parameters
    ----------
    src, dst : [E] int32 tensors
    labels : [N] int32, 0..k-1
    sizes : [k] int64
    cap : largest size allowed, at least 1
    """
    n = labels.numel()
    a, b = src.long(), dst.long()
    inside = (labels[a] == labels[b]) & (sizes[labels[a].long()] > cap)
    # Edges that do not take part become loops: their number need not be known.
    other = torch.where(inside, dst, src)
    top = component_roots(n, src, other)
    # A group that needs no cut stays one even where it is not connected.
    small = sizes[labels.long()] <= cap
    node = torch.arange(n, dtype=torch.int32, device=labels.device)
    part, n_parts = numbered(top)
    members, starts = group_members(part, n_parts)
    trees = (starts.diff() > cap).nonzero().reshape(-1).int()
    parent, cut = top.clone(), torch.zeros(n, dtype=torch.int32, device=labels.device)
    if trees.numel():
        near_starts, near = _adjacency(n, src, other)
        queue, claim, child_starts = (torch.full_like(node, _UNSEEN) for _ in range(3))
        open_size = torch.ones_like(node)
        arrays = (starts, members, near_starts, near, queue, claim, parent, child_starts, open_size, cut)
        launch(_trees, (trees.numel(),), trees, *arrays, cap, _BLOCK, _UNSEEN)
    piece = roots(torch.where(cut != 0, node, parent))
    return torch.where(small, labels, piece + sizes.numel())
