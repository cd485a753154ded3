"""Cutting oversized groups of a lattice into connected pieces along a breadth-first tree: the CPU engine's pieces.

A breadth-first queue looks sequential, but its order is fixed by a rule that a whole level can follow at once: a node's
parent is the neighbour that stands first in the queue, and children stand in the order of their parents, then of their
ids. One program walks one tree, level by level, so that it waits only for its own threads.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.components import counted_roots, group_sizes, numbered_labels
from stgraph.kernels.gpu.lattice import links_above, step_to, tied
from stgraph.kernels.gpu.rows import SIZES, blocks, launch

_BLOCK = 128
_WARPS = 4
_NODES = 256
_UNSEEN = 2**31 - 1


@triton.jit(do_not_specialize=SIZES)
def _clear(n_found, of_tree, claim, cut, first, n, BLOCK: tl.constexpr, UNSEEN: tl.constexpr):  # type: ignore[no-untyped-def]
    """Clear all counts, claims, cuts and minima used later."""
    node = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    nothing = tl.zeros([BLOCK], tl.int32)
    tl.store(n_found + node, nothing, mask=node < 2)
    tl.store(of_tree + node, nothing, mask=node < n)
    tl.store(claim + node, nothing + UNSEEN, mask=node < n)
    tl.store(cut + node, nothing, mask=node < n)
    tl.store(first + node, nothing + n, mask=node < n)
    tl.store(first + n + node, nothing + n, mask=node < n)


@triton.jit(do_not_specialize=SIZES)
def _large_components(sizes, n_found, tree_root, tree_base, n, cap, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """List the components larger than ``cap`` by their smallest node, each with its own place in the queue. The order
    varies between runs, without any effect on results."""
    node = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    size = tl.load(sizes + node, mask=node < n, other=0).to(tl.int32)
    large = (node < n) & (size > cap)
    place = tl.atomic_add(n_found + tl.zeros([BLOCK], tl.int32), 1, mask=large, sem="relaxed")
    base = tl.atomic_add(n_found + tl.full([BLOCK], 1, tl.int32), size, mask=large, sem="relaxed")
    tl.store(tree_root + place, node, mask=large)
    tl.store(tree_base + place, base, mask=large)


@triton.jit
def _neighbours(queue, links, at, tail, j, step):  # type: ignore[no-untyped-def]
    """Nodes of the queue ([places, 1]), their lattice neighbours, and whether they are linked to them ([places, 8])."""
    node = tl.load(queue + at, mask=at < tail, other=0)
    bits = tl.load(links + node, mask=at < tail, other=0)
    return node[:, None], node[:, None] + step, (bits[:, None] >> j) % 2 == 1


@triton.jit(do_not_specialize=SIZES)
def _trees(  # type: ignore[no-untyped-def]
    n_found, tree_root, tree_base, links, queue, claim, parent, child_starts, open_size, cut, cap, H, W,
    BLOCK: tl.constexpr, UNSEEN: tl.constexpr,
):  # fmt: skip
    """Breadth-first tree of one component, rooted at its smallest node, and its greedy bottom-up cut.

    ``queue`` holds the tree's nodes from ``base`` on; ``claim`` [N] the place in it of each node's parent;
    ``child_starts[i]`` where in the queue the children of queue[i] start. Tiles are [nodes, neighbours or children].
    """
    if tl.program_id(0) < tl.load(n_found):
        root, base = tl.load(tree_root + tl.program_id(0)), tl.load(tree_base + tl.program_id(0))
        lane, j = tl.arange(0, BLOCK), tl.arange(0, 8)[None, :]
        step = step_to(j, H, W)
        tl.store(queue + base, root)
        tl.store(claim + root, -1)
        tl.debug_barrier()
        head, filled = base, base + 1
        while head < filled:
            tail = filled
            # Every node of this level claims its unseen neighbours; the first in the queue wins.
            for first in range(head, tail, BLOCK):
                at = first + lane
                node, other, tied = _neighbours(queue, links, at, tail, j, step)
                seen = tl.load(claim + other, mask=tied, other=-1)
                tl.atomic_min(
                    claim + other, at[:, None] + tl.zeros_like(other), mask=tied & (seen >= head), sem="relaxed"
                )
            tl.debug_barrier()
            # The neighbours a node has won become its children, in ascending order.
            for first in range(head, tail, BLOCK):
                at = first + lane
                node, other, tied = _neighbours(queue, links, at, tail, j, step)
                won = (tied & (tl.load(claim + other, mask=tied, other=-1) == at[:, None])).to(tl.int32)
                n_children = tl.sum(won, 1)
                start = filled + tl.cumsum(n_children, 0) - n_children
                tl.store(child_starts + at, start, mask=at < tail)
                place = start[:, None] + tl.cumsum(won, 1) - won
                tl.store(queue + place, other, mask=won == 1)
                tl.store(parent + other, node + tl.zeros_like(other), mask=won == 1)
                filled += tl.sum(n_children, 0)
            tl.debug_barrier()
            head = tail
        # Backwards in the queue children come before parents. Of each block the end is dealt with whose children lie
        # behind the block; it is never empty, for children lie behind their parent.
        left = filled
        while left > base:
            first = tl.maximum(left - BLOCK, base)
            at = first + lane
            here = at < left
            a = tl.load(child_starts + at, mask=here, other=0)
            b = tl.load(child_starts + at + 1, mask=here & (at + 1 < filled), other=0)
            b = tl.where(at + 1 < filled, b, filled)
            lowest = tl.max(tl.where(here & (a < left) & (a < b), at, first - 1), 0) + 1
            now = here & (at >= lowest)
            place = a[:, None] + j
            is_child = now[:, None] & (place < b[:, None])
            child = tl.load(queue + place, mask=is_child, other=0)
            piece = tl.load(open_size + child, mask=is_child, other=0)
            # Smallest open piece first; of equal ones the first in the queue.
            order = tl.where(is_child, piece.to(tl.int64) * 8 + j, UNSEEN * 8)
            total, last = tl.full([BLOCK], 1, tl.int32), tl.full([BLOCK], -1, tl.int64)
            for _ in range(tl.max(tl.where(now, b - a, 0), 0)):
                best = tl.min(tl.where(order > last[:, None], order, UNSEEN * 8), 1)
                size = (best // 8).to(tl.int32)
                found = best < UNSEEN * 8
                fits = found & (size <= cap - total)
                total += tl.where(fits, size, 0)
                tl.store(
                    cut + child,
                    tl.full([BLOCK, 8], 1, tl.int32),
                    mask=(order == best[:, None]) & (found & ~fits)[:, None],
                )
                last = best
            node = tl.load(queue + at, mask=now, other=0)
            tl.store(open_size + node, total, mask=now)
            tl.debug_barrier()
            left = lowest


@triton.jit(do_not_specialize=SIZES)
def _pieces(parent, cut, labels, sizes, piece, first, n, cap, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Pieces by the node where the chain of parents ends or was cut. A group that needs no cut stays one, also where it
    is not connected; its number comes after all nodes. ``first`` finds the smallest node of each piece."""
    node = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = node < n
    label = tl.load(labels + node, mask=inside, other=0)
    small = tl.load(sizes + label, mask=inside, other=0) <= cap
    at = tl.where(inside, node, 0)
    moving = inside & (small == 0)
    while tl.sum(moving.to(tl.int32), 0) > 0:
        up = tl.load(parent + at, mask=moving, other=0)
        moving = moving & (up != at) & (tl.load(cut + at, mask=moving, other=1) == 0)
        at = tl.where(moving, up, at)
    at = tl.where(small, n + label, at)
    tl.store(piece + node, at, mask=inside)
    known = tl.load(first + at, mask=inside, other=0)
    tl.atomic_min(first + at, node, mask=inside & (node < known), sem="relaxed")


def split_lattice(similarity: Any, tau: float, families: tuple[bool, bool, bool], labels: Any, cap: int) -> Any:
    """Canonical labels ([N] int32) in which every group larger than ``cap`` is cut into connected pieces.

    Greedy bottom-up cut of the breadth-first tree rooted at each group's smallest node. Does not wait for the device.

    Parameters
    ----------
    similarity, tau, families : the lattice's edges, as of :func:`stgraph.kernels.gpu.lattice.links_above`
    labels : [N] int32, in [0, N)
    cap : largest size allowed, at least 1
    """
    n, (H, W), device = labels.numel(), similarity.shape[2:], labels.device
    sizes, grid = group_sizes(labels), (blocks(n, _NODES),)
    of_tree, claim, cut, piece, tree_root, tree_base, queue, child_starts, open_size = torch.empty(
        (9, n), dtype=torch.int32, device=device
    )
    n_found, first = (torch.empty(k, dtype=torch.int32, device=device) for k in (2, 2 * n))
    launch(_clear, grid, n_found, of_tree, claim, cut, first, n, _NODES, _UNSEEN)
    links, parent = links_above(similarity, tau, families, (labels, sizes, cap))
    parent = counted_roots(tied(links, parent, (H, W)), of_tree)
    most = n // (cap + 1)
    if most:
        launch(_large_components, grid, of_tree, n_found, tree_root, tree_base, n, cap, _NODES)
        arrays = (n_found, tree_root, tree_base, links, queue, claim, parent, child_starts, open_size, cut)
        launch(_trees, (most,), *arrays, cap, H, W, _BLOCK, _UNSEEN, num_warps=_WARPS)
    launch(_pieces, grid, parent, cut, labels, sizes, piece, first, n, cap, _NODES)
    return numbered_labels(piece, first)[0]
