"""The k largest values of each group, ties to the smaller index, by stable sorts."""

from __future__ import annotations

from typing import Any

import torch


def top_of_groups(values: Any, members: Any, starts: Any, counts: Any) -> Any:
    """[N] bool: the counts[g] largest of each group g; among equals the smaller index wins.

    Parameters
    ----------
    values : [N] float32 or float64 tensor without NaN
    members, starts : the groups; members ascending within each
    counts : [n_groups] int64
    """
    order = _descending(values[members.long()])
    position = torch.arange(members.numel(), device=members.device)
    group = torch.searchsorted(starts, position, right=True) - 1
    # Stable: within a group the values stay in their order, and equal values in that of their members.
    ordered, back = torch.sort(group[order], stable=True)
    kept = position - starts[ordered] < counts[ordered]
    keep = torch.empty(values.numel(), dtype=torch.bool, device=values.device)
    keep[members[order[back]].long()] = kept
    return keep


def top_of_mask(values: Any, mask: Any, k: Any) -> Any:
    """[N] bool: the ``k`` nodes of ``mask`` ([N] bool) with the largest values; among equals the smaller index wins.
    ``k`` may be a number on the device."""
    order = _descending(values)
    among = mask[order]
    keep = torch.empty_like(mask)
    keep[order] = among & (among.cumsum(0) <= k)
    return keep


def _descending(values: Any) -> Any:
    """[N] int64: places by descending value. -0.0 equals 0.0, whatever a sort by bits thinks."""
    return torch.sort(values + 0.0, descending=True, stable=True).indices
