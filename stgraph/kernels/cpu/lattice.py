"""Links of a thresholded lattice and its connected components, without a list of its edges."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.components import _find, numbered_roots
from stgraph.kernels.cpu.threads import run_blocks, thread_ranges

LEFT, UP, BEFORE = 1, 2, 4  # bits of a token's link to the earlier one of an edge


@compiled()
def _links(similarity, tau, on, links, t0, t1):  # type: ignore[no-untyped-def]
    _, _, H, W = similarity.shape
    for t in range(t0, t1):
        for h in range(H):
            i = (t * H + h) * W
            here = links[i : i + W]
            here[:] = 0
            # NaN, the missing neighbour, compares false.
            if on[0]:
                for w in range(1, W):
                    here[w] |= np.uint8(LEFT) if similarity[0, t, h, w - 1] > tau else np.uint8(0)
            if on[1] and h > 0:
                for w in range(W):
                    here[w] |= np.uint8(UP) if similarity[1, t, h - 1, w] > tau else np.uint8(0)
            if on[2] and t > 0:
                for w in range(W):
                    here[w] |= np.uint8(BEFORE) if similarity[2, t - 1, h, w] > tau else np.uint8(0)


@compiled()
def _join(links, parent, W, frame, a, b):  # type: ignore[no-untyped-def]
    """Trees of the tokens a..b-1, whole frames, by the links among them.

    A token is joined while still alone, to trees with smaller roots; the left one's root is known. A link to a token
    that other links reach anyway, around a square of the lattice, is skipped.
    """
    r = a
    for i in range(a, b):
        link = np.int64(links[i])
        left, up = np.int64(links[max(i - 1, 0)]), np.int64(links[max(i - W, 0)])
        before = np.int64(links[max(i - frame, 0)])
        if i - frame < a:
            link &= LEFT | UP
        by_left = -(link & LEFT) & ((left & UP & (up << 1)) | (left & BEFORE & (before << 2)))
        by_up = -((link & UP) >> 1) & (up & BEFORE & (before << 1))
        need = link & ~(by_left | by_up)
        r = r if need & LEFT else i
        if need & UP:
            r = _join_root(parent, r, i, np.int64(_find(parent, i - W)))
        if need & BEFORE:
            r = _join_root(parent, r, i, np.int64(_find(parent, i - frame)))
        parent[i] = r


@compiled()
def _join_root(parent, r, i, q):  # type: ignore[no-untyped-def]
    """The smaller of two roots, above the other; ``i`` has no place in ``parent`` yet."""
    if q < r:
        if r != i:
            parent[r] = q
        return q
    if r < q:
        parent[q] = r
    return r


@compiled()
def _join_seam(links, parent, frame, a, b):  # type: ignore[no-untyped-def]
    """Join the tokens a..b-1, one frame, to the frame before."""
    for i in range(a, b):
        if links[i] & BEFORE:
            p, q = _find(parent, i), _find(parent, i - frame)
            if p != q:
                parent[max(p, q)] = min(p, q)


def links_above(similarity: Array, tau: float, families: tuple[bool, bool, bool]) -> Array:
    """[N + H*W] uint8: for each token the bits LEFT, UP and BEFORE, set where the edge to that neighbour has a weight
    > tau. A frame of zeros follows, so that a token's later neighbours can be looked up without checking that they
    exist.

    Parameters
    ----------
    similarity : [3, T, H, W] float32, as :func:`stgraph.kernels.cpu.neighbours.neighbour_cosines` returns it
    tau : strict lower bound
    families : whether right, bottom and temporal edges take part
    """
    _, T, H, W = similarity.shape
    bound, on = np.float64(tau), np.array(families)
    links = np.empty((T + 1) * H * W, np.uint8)
    links[T * H * W :] = 0
    run_blocks(lambda b: _links(similarity, bound, on, links, *b), thread_ranges(T, H * W))
    return links


def components(similarity: Array, tau: float, families: tuple[bool, bool, bool]) -> Array:
    """Canonical component labels ([N] int32, numbered by smallest node) of the lattice edges with weight > tau.

    Ranges of frames are joined side by side, then at their seams. A root is the smallest node of its tree however
    frames are cut, so that labels are the same on any number of threads.

    Parameters
    ----------
    similarity, tau, families : as for :func:`links_above`
    """
    _, T, H, W = similarity.shape
    links = links_above(similarity, tau, families)
    ranges = [(a * H * W, b * H * W) for a, b in thread_ranges(T, H * W)]
    parent = np.empty(T * H * W, np.int32)
    run_blocks(lambda b: _join(links, parent, W, H * W, *b), ranges)
    for a, _ in ranges[1:]:
        _join_seam(links, parent, H * W, a, a + H * W)
    return numbered_roots(parent)
