"""Counting what a selection asks of a GPU: kernels of ours, and operations of torch that start at least one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest

# Operations that make views or take memory; nothing is started on the device for them.
IDLE = {
    *("_local_scalar_dense", "_reshape_alias", "_unsafe_view", "alias", "as_strided", "detach", "empty", "empty_like"),
    *("empty_strided", "expand", "new_empty", "permute", "reshape", "select", "slice", "split", "squeeze", "t"),
    *("transpose", "unbind", "unsqueeze", "view"),
}


@contextmanager
def counted() -> Iterator[list[str]]:
    """The names of what is started inside, in order. On tensors in host memory the same calls are made as on a GPU."""
    from torch.utils._python_dispatch import TorchDispatchMode

    started: list[str] = []
    inside: list[str] = []  # a kernel in Triton's interpreter, which itself copies tensors

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            if not inside and name not in IDLE:
                started.append(name)
            return func(*args, **(kwargs or {}))

    @contextmanager
    def note(kernel: Any) -> Iterator[None]:
        started.append(kernel.fn.__name__)
        inside.append(kernel.fn.__name__)
        try:
            yield
        finally:
            inside.pop()

    with pytest.MonkeyPatch.context() as patch, Watch():
        launches_go_through(patch, note)
        yield started


def launches_go_through(patch: pytest.MonkeyPatch, around: Callable[[Any], AbstractContextManager[None]]) -> None:
    """Let every launch of a kernel run inside ``around(kernel)``."""
    from stgraph.kernels import gpu
    from stgraph.kernels.gpu.rows import launch

    def launched(kernel: Any, *args: Any, **options: Any) -> None:
        with around(kernel):
            launch(kernel, *args, **options)

    for found in iter_modules(gpu.__path__):
        module = import_module(f"{gpu.__name__}.{found.name}")
        if found.name != "rows" and hasattr(module, "launch"):
            patch.setattr(module, "launch", launched)
