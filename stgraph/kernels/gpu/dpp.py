"""Greedy maximisation of a determinantal point process on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stgraph.aliases import Array

_EQUAL = 1e-12  # of the first gain: closer ones tie


def greedy_dpp(units: Any, quality: Array, n_picks: int, least: float = 1e-6) -> Array:
    """Rows of greatest determinant of the kernel quality_i quality_j cos(i, j), one after the other, never one twice.

    Ties and dependent rows as in the CPU engine. Waits for the device once, at the end.

    Parameters
    ----------
    units : [n, d] float64 tensor, unit rows or zeros
    quality : [n] float64 in host memory, not negative
    n_picks : from 1 to n

    Returns
    -------
    [n_picks] int64 in host memory, in the order they were picked
    """
    n, device = len(units), units.device
    value = torch.from_numpy(np.ascontiguousarray(quality)).to(device)
    gain = torch.where((units * units).sum(1) > 0.5, value * value, 0.0)  # a unit row is one, whatever its sum comes to
    factor = torch.zeros((n_picks, n), dtype=torch.float64, device=device)
    every, first = torch.arange(n, device=device), gain.amax()
    left = torch.ones(n, dtype=torch.bool, device=device)
    picks, gains = [], []
    for step in range(n_picks):
        now = torch.where(left, gain, -torch.inf)
        best = torch.where(now >= now.amax() - _EQUAL * first, every, n - 1).amin()[None]
        gains.append(gain.index_select(0, best))
        picks.append(best)
        left.index_fill_(0, best, False)
        row = value.index_select(0, best) * value * (units @ units.index_select(0, best)[0])
        row -= factor[:step].index_select(1, best)[:, 0] @ factor[:step]
        factor[step] = row / gains[-1].sqrt()
        gain = gain - factor[step] ** 2
    enough = (torch.cat(gains) > least * first).long().cumprod(0)
    found = torch.stack((torch.cat(picks), enough)).tolist()
    made = sum(found[1])
    chosen = np.array(found[0][:made], np.int64)
    rest = np.argsort(-quality, kind="stable")
    return np.concatenate([chosen, rest[~np.isin(rest, chosen)][: n_picks - made]])
