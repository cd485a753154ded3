"""The edges above a threshold, as a list sorted by (source, destination)."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.threads import even_blocks, run_blocks


@compiled()
def _count(weights, tau, on, t0, t1):  # type: ignore[no-untyped-def]
    n = 0
    for family in range(3):
        if on[family]:
            for value in weights[family, t0:t1].flat:
                n += value > tau  # NaN, the missing neighbour, compares false
    return n


@compiled()
def _fill(weights, tau, on, t0, t1, at, src, dst, weight, family_of):  # type: ignore[no-untyped-def]
    _, _, H, W = weights.shape
    for t in range(t0, t1):
        for h in range(H):
            for w in range(W):
                i = (t * H + h) * W + w
                for family in range(3):
                    if on[family] and weights[family, t, h, w] > tau:
                        src[at] = i
                        dst[at] = i + (1 if family == 0 else W if family == 1 else H * W)
                        weight[at] = weights[family, t, h, w]
                        family_of[at] = family
                        at += 1


def edges_above(weights: Array, tau: float, families: tuple[bool, bool, bool]) -> tuple[Array, Array, Array, Array]:
    """Lattice edges with weight > tau.

    Parameters
    ----------
    weights : [3, T, H, W] float32, as :func:`stgraph.kernels.cpu.neighbours.neighbour_cosines` returns them
    tau : strict lower bound; -inf keeps every edge
    families : whether right, bottom and temporal edges take part

    Returns
    -------
    src, dst : [E] int32 with src < dst, sorted by (src, dst)
    weight : [E] float32
    family : [E] uint8, 0 right, 1 bottom, 2 temporal
    """
    _, T, H, W = weights.shape
    on = np.array(families)
    bound = np.float64(tau)
    blocks = even_blocks(T, max(1, 65_536 // (H * W)))
    counts = run_blocks(lambda b: int(_count(weights, bound, on, *b)), blocks)
    starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    n = int(starts[-1])
    src, dst = np.empty(n, np.int32), np.empty(n, np.int32)
    weight, family = np.empty(n, np.float32), np.empty(n, np.uint8)

    def fill(i: int) -> None:
        _fill(weights, bound, on, *blocks[i], int(starts[i]), src, dst, weight, family)

    run_blocks(fill, range(len(blocks)))
    return src, dst, weight, family
