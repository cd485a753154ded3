"""Watching what of a tensor's data leaves for host memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class CopiedToHost(AssertionError):
    """Data as large as the features was read into host memory."""


@contextmanager
def none_as_large_as(n_elements: int) -> Iterator[list[int]]:
    """Raise where a tensor of so many elements goes to NumPy, to a list, or to the CPU; gives the sizes of those that
    went.

    On tensors that lie in host memory nothing is copied, but these are the doors through which copies from a GPU go.
    On a GPU, copies between devices are watched below these doors as well.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[int] = []

    def note(tensor: Any) -> None:
        seen.append(tensor.numel())
        if tensor.numel() >= n_elements:
            raise CopiedToHost(f"{tensor.numel():,} elements of {tuple(tensor.shape)} were read into host memory")

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            source = next((a for a in args if isinstance(a, torch.Tensor) and a.device.type != "cpu"), None)
            copies = func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_)
            if copies and source is not None and out.device.type == "cpu":
                note(source)
            return out

    def watched(door: Any) -> Any:
        def through(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            note(tensor)
            return door(tensor, *args, **kwargs)

        return through

    with pytest.MonkeyPatch.context() as patch, Watch():
        for name in ("numpy", "cpu", "tolist", "__array__", "__dlpack__"):
            patch.setattr(torch.Tensor, name, watched(getattr(torch.Tensor, name)))
        yield seen
