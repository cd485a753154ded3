"""Boxes of 2 x 2 x 2 tokens: the start of a community search on the lattice.

Local moving from single tokens joins each to its most similar neighbour, which makes chains and stars, whereas dense
communities are compact. So the lattice is cut into boxes, and inside each the pieces on both sides of its middle are
joined along rows, then columns, then time, wherever this raises the quality of ``kernels/cpu/leiden.py``. Every piece
is connected by edges. A piece of two tokens is split again, since for pairs the heaviest edges should decide, and local
moving follows those.
"""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.threads import run_blocks, thread_ranges

_LEAST = 3  # fewest tokens of a piece that is kept


@compiled()
def _boxes(similarity, tau, on, mass, gamma, cap, labels, b0, b1):  # type: ignore[no-untyped-def]
    _, T, H, W = similarity.shape
    node, piece, size = np.empty(8, np.int64), np.empty(8, np.int32), np.empty(8, np.int64)
    total, weight = np.empty(8), np.empty((3, 8))
    for t0 in range(2 * b0, min(2 * b1, T), 2):
        for h0 in range(0, H, 2):
            for w0 in range(0, W, 2):
                for corner in range(8):  # bit 0: right, bit 1: bottom, bit 2: later
                    t, h, w = t0 + (corner >> 2), h0 + ((corner >> 1) & 1), w0 + (corner & 1)
                    inside = t < T and h < H and w < W
                    node[corner] = (t * H + h) * W + w if inside else -1
                    total[corner] = mass[node[corner]] if inside else 0.0
                    piece[corner], size[corner] = corner, 1
                    for axis in range(3):
                        weight[axis, corner] = 0.0
                        # NaN, the missing neighbour, compares false.
                        if inside and on[axis] and not (corner >> axis) & 1 and similarity[axis, t, h, w] > tau:
                            weight[axis, corner] = similarity[axis, t, h, w]
                for axis in range(3):
                    _join_across(1 << axis, weight[axis], piece, total, size, gamma, cap)
                for corner in range(8):
                    if node[corner] >= 0:
                        keeps = size[piece[corner]] >= _LEAST
                        labels[node[corner]] = node[piece[corner]] if keeps else node[corner]


@compiled()
def _join_across(bit, weight, piece, total, size, gamma, cap):  # type: ignore[no-untyped-def]
    for corner in range(8):
        if corner & bit or weight[corner] == 0.0:
            continue
        a, b = piece[corner], piece[corner | bit]
        if a == b or size[a] + size[b] > cap:
            continue
        between = 0.0
        for c in range(8):
            if not c & bit and piece[c] == a and piece[c | bit] == b:
                between += weight[c]
        if between > gamma * total[a] * total[b]:
            total[a] += total[b]
            size[a] += size[b]
            for c in range(8):
                if piece[c] == b:
                    piece[c] = a


def box_pieces(
    similarity: Array, tau: float, families: tuple[bool, bool, bool], mass: Array, gamma: float, cap: int
) -> Array:
    """[N] int32: for each token the token that names its piece; itself if it starts alone.

    Parameters
    ----------
    similarity : [3, T, H, W] float32, as :func:`stgraph.kernels.cpu.neighbours.neighbour_cosines` returns it
    tau : strict lower bound of an edge's weight, at least 0
    families : whether right, bottom and temporal edges take part
    mass : [N] float64 node masses
    gamma : cost of a product of two masses
    cap : largest piece in tokens
    """
    _, T, H, W = similarity.shape
    labels, on = np.empty(T * H * W, np.int32), np.array(families)
    ranges = thread_ranges(-(-T // 2), 2 * H * W)
    run_blocks(lambda b: _boxes(similarity, np.float64(tau), on, mass, gamma, cap, labels, *b), ranges)
    return labels
