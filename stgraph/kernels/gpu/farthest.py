"""Farthest-first traversal on the device: each pick is the row farthest from all rows picked before it."""

from __future__ import annotations

from typing import Any

import torch

from stgraph.aliases import Array

SAME = 1 - 2**-20  # cosines above it count as 1
_BLOCK = 1024  # rows whose cosines to all others are formed at a time


def farthest_first(units: Any, n_picks: int, weights: Array | None = None) -> tuple[Any, Any]:
    """Rows by farthest-first traversal in cosine distance, without repetition; ties go to the smaller row. Does not
    wait for the device before the last pick.

    Parameters
    ----------
    units : [n, d] float32 tensor, unit rows; a zero row has distance 1 from every other
    n_picks : 1 to n
    weights : [n] positive, in host memory; the distance to row j counts weights[j] times

    Returns
    -------
    picks : [n_picks] int64 tensor, in the order they were picked
    distances : [n_picks] float32 tensor
        weighted distance to the earlier picks; for the first, to its nearest neighbour, or 0 without one
    """
    n, device = units.shape[0], units.device
    factors = torch.ones(n, device=device) if weights is None else torch.from_numpy(weights).to(device).float()
    every = torch.arange(n, device=device)
    apart = torch.zeros(n, device=device)
    wide = units.double()
    for a in range(0, n if n > 1 else 0, _BLOCK):
        similar = (wide[a : a + _BLOCK] @ wide.T).float()
        similar[every[: len(similar)], every[a : a + _BLOCK]] = -1
        apart[a : a + _BLOCK] = similar.amax(1)
    if n > 1:
        apart = torch.where(apart > SAME, 0.0, 1 - apart) * factors
    nearest, picked = torch.full((n,), torch.inf, device=device), torch.zeros(n, dtype=torch.bool, device=device)
    picks, distances = [], []
    for step in range(n_picks):
        far = apart if step == 0 else torch.where(picked, -torch.inf, nearest)
        most = far.amax()
        best = torch.where(far == most, every, n).amin()[None]
        picks.append(best)
        distances.append(most[None])
        picked.index_fill_(0, best, True)
        similar = units @ units.index_select(0, best)[0]
        nearest = torch.minimum(nearest, torch.where(similar > SAME, 0.0, 1 - similar) * factors)
    return torch.cat(picks), torch.cat(distances)
