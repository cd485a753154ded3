"""Links of a thresholded lattice and its connected components, on the device. Nothing here waits for the device."""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl

from stgraph.kernels.gpu.components import numbered, unite
from stgraph.kernels.gpu.edge_list import rounded_down
from stgraph.kernels.gpu.rows import SIZES, blocks, launch

_BLOCK = 256


@triton.jit
def step_to(j, H, W):  # type: ignore[no-untyped-def]
    """Step from a node to its j-th lattice neighbour, in ascending order: previous, top, left, right, bottom, next."""
    step = tl.where(j < 3, -1, 1)
    return step * tl.where((j == 2) | (j == 3), 1, tl.where((j == 1) | (j == 4), W, H * W))


@triton.jit(do_not_specialize=SIZES)
def _links(  # type: ignore[no-untyped-def]
    similarity, labels, sizes, links, parent, tau_right, tau_bottom, tau_after, cap, T, H, W,
    BLOCK: tl.constexpr, INSIDE: tl.constexpr,
):  # fmt: skip
    n = T * H * W
    node = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = node < n
    bits = tl.zeros([BLOCK], tl.int32)
    if INSIDE:
        own = tl.load(labels + node, mask=inside, other=0)
        inside = inside & (tl.load(sizes + own, mask=inside, other=0) > cap)
    for j in tl.static_range(6):
        family = 2 - j if j < 3 else j - 3
        other = node + step_to(j, H, W)
        # The lattice ends with the first and last node; elsewhere a missing neighbour's similarity is NaN.
        there = inside & (other >= 0) & (other < n)
        weight = tl.load(
            similarity + family * tl.cast(n, tl.int64) + (other if j < 3 else node), mask=there, other=float("nan")
        )
        there = there & (weight > (tau_right if family == 0 else tau_bottom if family == 1 else tau_after))
        if INSIDE:
            there = there & (tl.load(labels + other, mask=there, other=-1) == own)
        bits += there.to(tl.int32) << j
    tl.store(links + node, bits, mask=node < n)
    tl.store(parent + node, node, mask=node < n)


@triton.jit(do_not_specialize=SIZES)
def _tie(parent, links, n, H, W, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    node = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    j = tl.program_id(1) + 3
    bits = tl.load(links + node, mask=node < n, other=0)
    unite(parent, node, node + step_to(j, H, W), ((bits >> j) & 1) == 1)


def links_above(
    similarity: Any,
    tau: float,
    families: tuple[bool, bool, bool],
    inside: tuple[Any, Any, int] | None = None,
) -> tuple[Any, Any]:
    """[N] int32: bit j states whether a node has an edge of weight > tau to its j-th lattice neighbour, in ascending
    order (previous, top, left, right, bottom, next); and a parent for each node, [N] int32: itself.

    Parameters
    ----------
    similarity : [3, T, H, W] float32 tensor, as :func:`stgraph.kernels.gpu.neighbours.neighbour_cosines` returns it
    tau : strict lower bound
    families : whether right, bottom and temporal edges take part
    inside : (labels [N] int32, sizes by label, cap): only edges within groups larger than ``cap``
    """
    _, T, H, W = similarity.shape
    links, parent = torch.empty((2, T * H * W), dtype=torch.int32, device=similarity.device)
    labels, sizes, cap = inside or (links, links, 0)
    taus = [rounded_down(tau) if on else math.inf for on in families]
    grid = (blocks(links.numel(), _BLOCK),)
    launch(_links, grid, similarity, labels, sizes, links, parent, *taus, cap, T, H, W, _BLOCK, inside is not None)
    return links, parent


def tied(links: Any, parent: Any, shape: tuple[int, int]) -> Any:
    """``parent``, in which the chains of linked nodes now end at the smallest; ``shape`` is (H, W)."""
    launch(_tie, (blocks(links.numel(), _BLOCK), 3), parent, links, links.numel(), *shape, _BLOCK)
    return parent


def components(similarity: Any, tau: float, families: tuple[bool, bool, bool]) -> Any:
    """Canonical component labels ([N] int32, numbered by smallest node) of the lattice edges with weight > tau.

    Parameters
    ----------
    similarity, tau, families : as of :func:`links_above`
    """
    return numbered(tied(*links_above(similarity, tau, families), tuple(similarity.shape[2:])))[0]
