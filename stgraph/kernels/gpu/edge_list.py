"""The edges above a threshold, as a list sorted by (source, destination)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch


def edges_above(weights: Any, tau: float, families: tuple[bool, bool, bool]) -> tuple[Any, Any, Any, Any]:
    """Lattice edges with weight > tau. Waits for the device once, to learn how many they are.

    Parameters
    ----------
    weights : [3, T, H, W] float32 tensor, as :func:`stgraph.kernels.gpu.neighbours.neighbour_cosines` returns them
    tau : strict lower bound; -inf keeps every edge
    families : whether right, bottom and temporal edges take part

    Returns
    -------
    src, dst : [E] int32 with src < dst, sorted by (src, dst)
    weight : [E] float32
    family : [E] uint8, 0 right, 1 bottom, 2 temporal
    """
    _, _, H, W = weights.shape
    by_node = weights.reshape(3, -1).T
    above = by_node > rounded_down(tau)  # NaN, the missing neighbour, compares false
    if not all(families):
        above &= torch.tensor(families, device=weights.device)
    at = above.reshape(-1).nonzero().reshape(-1)
    src = torch.div(at, 3, rounding_mode="floor")
    family = at - 3 * src
    step = torch.where(family == 0, 1, torch.where(family == 1, W, H * W))
    return src.int(), (src + step).int(), by_node[src, family], family.to(torch.uint8)


def rounded_down(value: float) -> float:
    """The largest float32 that does not exceed ``value``: a float32 is greater than one exactly if it is greater than
    the other, and tensors compare in float32."""
    with np.errstate(over="ignore"):
        near = np.float32(value)
    return float(np.nextafter(near, np.float32(-math.inf)) if float(near) > value else near)
