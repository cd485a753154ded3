"""Connected components of a thresholded lattice, without a list of its edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.components import _find, _number

Array = np.ndarray[Any, Any]


@compiled()
def _components(similarity, tau, on):  # type: ignore[no-untyped-def]
    _, T, H, W = similarity.shape
    parent = np.arange(T * H * W).astype(np.int32)
    for t in range(T):
        for h in range(H):
            for w in range(W):
                i = (t * H + h) * W + w
                for family in range(3):
                    # NaN, the missing neighbour, compares false.
                    if on[family] and similarity[family, t, h, w] > tau:
                        a = _find(parent, i)
                        b = _find(parent, i + (1 if family == 0 else W if family == 1 else H * W))
                        if a < b:
                            parent[b] = a
                        elif b < a:
                            parent[a] = b
    return _number(parent, parent.size)[0]


def components(similarity: Array, tau: float, families: tuple[bool, bool, bool]) -> Array:
    """Canonical component labels ([N] int32, numbered by smallest node) of the lattice edges with weight > tau.

    Parameters
    ----------
    similarity : [3, T, H, W] float32, as :func:`stgraph.kernels.cpu.neighbours.neighbour_cosines` returns it
    tau : strict lower bound
    families : whether right, bottom and temporal edges take part
    """
    labels: Array = _components(similarity, np.float64(tau), np.array(families))
    return labels
