"""CPM on a long video, in blocks of frames, on all threads.

The constant Potts model is local: a community's quality does not depend on the rest of the graph. So one pass can
search blocks of frames independently, each over the communities that lie within it, and their gains add up. The next
pass cuts the video in the middle of these blocks, so that communities across one pass's cuts lie inside a block of the
next. Blocks depend only on the video's shape and gamma, so labels are the same on any thread count. And each block fits
the cache, however long the video is.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.leiden_levels import Level, adjacency, descend
from stgraph.kernels.cpu.leiden_moves import move
from stgraph.kernels.cpu.threads import run_blocks

_TOKENS = 8192  # of a block
# With at most three edges of weight 1 per token, communities of more than about 6 / gamma tokens have no positive
# quality: a block is many times as large.
_COMMUNITIES = 64


def frame_cuts(shape: tuple[int, int, int], gamma: float) -> list[Array]:
    """Block boundaries of alternate passes, in tokens; empty for a video shorter than two blocks. Cuts lie between
    frames, and in the first pass between boxes.

    Parameters
    ----------
    shape : (T, H, W) of the lattice
    gamma : resolution of CPM
    """
    T, H, W = shape
    pairs = T // 2  # of frames, as in boxes; an odd last frame goes to the last block
    n_blocks = int(2 * pairs * H * W / max(_TOKENS, _COMMUNITIES * 6 / gamma))
    if min(n_blocks, pairs) < 2:
        return []
    n_blocks = min(n_blocks, pairs)
    starts = np.arange(n_blocks) * pairs // n_blocks * 2
    ends = np.append(starts[1:], T)
    middles = (starts + ends) // 2
    return [np.append(starts, T) * H * W, np.concatenate([[0], middles, [T]]) * H * W]


@compiled()
def _extents(labels):  # type: ignore[no-untyped-def]
    first, last = np.full(labels.size, -1, np.int32), np.empty(labels.size, np.int32)
    for v in range(labels.size):
        if first[labels[v]] < 0:
            first[labels[v]] = v
        last[labels[v]] = v
    return first, last


@compiled()
def _inside(src, dst, weight, labels, first, last, a, b):  # type: ignore[no-untyped-def]
    # Tokens a..b-1 as nodes 0..b-a-1; those of communities that reach further are left without edges.
    n = b - a
    local, whole = np.empty(n, np.uint32), np.empty(n, np.bool_)
    for v in range(n):
        c = labels[a + v]
        whole[v] = first[c] >= a and last[c] < b
        local[v] = first[c] - a if whole[v] else v
    new_src, new_dst = np.empty(src.size, np.int32), np.empty(src.size, np.int32)
    new_weight, count = np.empty(src.size, np.float32), 0
    for e in range(src.size):
        u, v = src[e] - a, dst[e] - a
        if v < n and whole[u] and whole[v]:
            new_src[count], new_dst[count], new_weight[count] = u, v, weight[e]
            count += 1
    return new_src[:count], new_dst[:count], new_weight[:count], local, whole


@compiled()
def _written_back(local, whole, labels, a):  # type: ignore[no-untyped-def]
    # A community is named by its first token, so that names from different blocks differ.
    first = np.full(local.size, -1, np.int32)
    for v in range(local.size):
        if whole[v]:
            if first[local[v]] < 0:
                first[local[v]] = v
            labels[a + v] = a + first[local[v]]


def search_blocks(
    edges: tuple[Array, Array, Array],
    labels: Array,
    cuts: list[Array],
    gamma: float,
    cap: int,
    n_iterations: int,
) -> None:
    """Improve ``labels`` in place, in passes over blocks.

    Parameters
    ----------
    edges : src, dst and weight [E], sorted by src
    labels : [N] uint32, for each token one token of its community
    cuts : from :func:`frame_cuts`, at least one
    gamma, cap, n_iterations : see :func:`stgraph.kernels.cpu.leiden.leiden`
    """
    idle = 0
    for iteration in range(n_iterations):
        cut = cuts[iteration % len(cuts)]
        begin = np.searchsorted(edges[0], cut)
        blocks = [(int(a), int(b), slice(i, j)) for (a, b), (i, j) in zip(pairwise(cut), pairwise(begin), strict=True)]
        task = partial(_search_block, edges, labels, _extents(labels), gamma, cap, iteration % 2 == 1)
        idle = 0 if any(run_blocks(task, blocks)) else idle + 1
        if idle == len(cuts):
            break


def _search_block(
    edges: tuple[Array, Array, Array],
    labels: Array,
    extents: tuple[Array, Array],
    gamma: float,
    cap: int,
    backwards: bool,
    block: tuple[int, int, slice],
) -> int:
    """Make one pass over tokens a..b-1, update their labels in place, and return the number of moves."""
    a, b, part = block
    src, dst, weight = (array[part] for array in edges)
    *inside, local, whole = _inside(src, dst, weight, labels, *extents, a, b)
    starts, neighbour, value = adjacency(b - a, *inside)
    base = Level(starts, neighbour, value, np.ones(b - a), np.ones(b - a, np.int64))
    moves = move(*base.graph, local, gamma, cap)
    local, more = descend(base, local, gamma, cap, backwards)
    _written_back(local, whole, labels, a)
    return int(moves + more)
