"""What a piece of work takes of a device's memory, counted on tensors in host memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from launches import launches_go_through


@contextmanager
def bytes_taken(*known: Any) -> Iterator[Callable[[], int]]:
    """Bytes of all storages that torch takes inside, beside those of the tensors ``known``: none is counted as reused.

    What a kernel's interpreter takes is not counted; on a GPU a kernel takes none.
    """
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode

    seen = {tensor.untyped_storage().data_ptr() for tensor in known}
    kept: list[Any] = []  # else memory is handed out again, and counted once
    inside: list[None] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            for one in found if isinstance(found, (tuple, list)) else (found,):
                if not inside and isinstance(one, Tensor) and one.untyped_storage().data_ptr() not in seen:
                    seen.add(one.untyped_storage().data_ptr())
                    kept.append(one)
            return found

    @contextmanager
    def note(kernel: Any) -> Iterator[None]:
        inside.append(None)
        yield
        inside.pop()

    with pytest.MonkeyPatch.context() as patch, Watch():
        launches_go_through(patch, note)
        yield lambda: sum(one.untyped_storage().nbytes() for one in kept)
