"""Cosine similarities between some rows of a matrix and others, on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stgraph.aliases import Array
from stgraph.kernels.gpu.chunks import units


def cosines(x: Any, rows: Array, columns: Array | None = None) -> Any:
    """[n, m] float32 tensor in [-1, 1]: cosine of x[rows[i]] to x[columns[j]], from float64 products; 0 for zero rows.

    Parameters
    ----------
    x : [P, c] float32 tensor, finite
    rows, columns : [n], [m] integers in host memory; without ``columns`` the rows are compared with each other
    """

    def chosen(places: Array) -> Any:
        return units(x.index_select(0, torch.from_numpy(places.astype(np.int64)).to(x.device)))

    first = chosen(rows)
    second = first if columns is None else chosen(columns)
    return (first @ second.T).clamp(-1, 1).float()
