"""NumPy arrays as torch tensors and back, bfloat16 included."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.devices import to_host

Array = np.ndarray[Any, Any]


def tensor(array: Array) -> Any:
    """A tensor on the memory of ``array`` where torch can address it, strides kept; else a copy."""
    import torch

    if array.dtype.name == "bfloat16":
        return tensor(array.view(np.int16)).view(torch.bfloat16)
    if not array.flags.writeable or any(s < 0 or s % array.itemsize for s in array.strides):
        array = array.copy()
    return torch.from_numpy(array)


def same(found: Any, expected: Any) -> None:
    """Equal values and dtypes, bit for bit."""
    host = to_host(found)
    assert host.dtype == expected.dtype
    np.testing.assert_array_equal(host, expected)
