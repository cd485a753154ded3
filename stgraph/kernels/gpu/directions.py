"""Unit rows of features and mean directions of groups of them, on the device."""

from __future__ import annotations

from typing import Any

import torch

from stgraph.kernels.gpu.chunks import chunks, units


def unit_rows(x: Any) -> Any:
    """See :func:`stgraph.kernels.cpu.directions.unit_rows`, with a tensor of any strides."""
    return torch.cat([units(x[a:b]).float().reshape(-1, x.shape[-1]) for a, b in chunks(x)])


def mean_directions(points: Any, labels: Any) -> tuple[Any, Any]:
    """See :func:`stgraph.kernels.cpu.directions.mean_directions`, with tensors; sums are added in the order of the
    rows. Waits for the device, to learn the number of groups."""
    ordered, order = torch.sort(labels, stable=True)
    used, counts = torch.unique_consecutive(ordered, return_counts=True)
    sums = torch.segment_reduce(points[order], "sum", lengths=counts, axis=0)
    lengths = (sums * sums).sum(1, keepdim=True).sqrt()
    return sums / lengths.clamp(min=torch.finfo(torch.float32).tiny), torch.searchsorted(used, labels)
