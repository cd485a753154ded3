"""Arrays on a GPU, and the few transfers between GPU and host memory.

Inside the library an array is either a NumPy array, for the CPU engine, or a torch tensor, for the GPU engine.
:func:`gpu_tensor` decides which where arrays enter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from stgraph.arrays import BFLOAT16, FEATURE_DTYPES, check_storage, dlpack_device, to_numpy, unreadable
from stgraph.errors import FeatureError, UnavailableError, missing_dependency

_DLPACK = {1: "cpu", 2: "cuda", 13: "cuda"}  # kDLCPU, kDLCUDA, kDLCUDAManaged
_devices: ContextVar[tuple[str, ...]] = ContextVar("devices whose tensors the GPU engine takes", default=("cuda",))


@contextmanager
def gpu_engine_on(device: str) -> Iterator[None]:
    """Let the GPU engine take torch tensors on ``device`` as well.

    With ``device="cpu"`` and the environment variable ``TRITON_INTERPRET=1``, set before the engine is first used, its
    kernels run in Triton's interpreter: slow, for tests and for debugging a kernel on a machine without a GPU.
    """
    token = _devices.set((*_devices.get(), device))
    try:
        yield
    finally:
        _devices.reset(token)


def in_own_dtype(device: Any) -> AbstractContextManager[Any]:
    """While open, products of torch tensors on ``device`` are in the dtype of their factors, also where the caller lets
    torch compute in 16 bits (``torch.autocast``)."""
    found: AbstractContextManager[Any] = sys.modules["torch"].autocast(device.type, enabled=False)
    return found


def is_tensor(array: Any) -> bool:
    """Whether ``array`` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def gpu_tensor(array: Any, name: str = "array") -> Any:
    """``array`` as a torch tensor if it lies on a GPU, not copied; else None.

    The device waits for other libraries' pending work on the array, as DLPack prescribes.

    Raises
    ------
    MissingDependencyError
        it lies on a GPU, and torch is not installed
    UnavailableError
        the installed torch cannot use that GPU
    InputError
        its library does not report its device, or does not give access to its values
    """
    if is_tensor(array):
        if array.device.type not in _devices.get():
            return None
        tensor = array.detach()
        check_storage(tensor, name)
        return tensor
    if isinstance(array, np.ndarray) or not hasattr(array, "__dlpack__"):
        return None
    device = dlpack_device(array, name)
    if _DLPACK.get(device[0]) not in _devices.get():
        return None
    try:
        import torch
    except ImportError:
        raise missing_dependency("computing on a GPU", "torch", "hf") from None
    if any(step < 0 for step in getattr(array, "strides", None) or ()):
        array = array.copy()  # torch aborts the process on negative strides
    try:
        return torch.from_dlpack(array)
    except (AssertionError, RuntimeError) as error:  # AssertionError: torch was built without CUDA
        raise UnavailableError(
            f"{name} is on {device}, which the installed torch cannot use ({first_line(error)}): install its CUDA "
            f"build, or pass {name}.cpu() (or its host copy)"
        ) from None
    except Exception as error:
        raise unreadable(array, name, error) from error


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def feature_array(array: Any, name: str = "features") -> Any:
    """``array`` as NumPy (host memory) or a torch tensor (GPU), checked to be float32, float16 or bfloat16 with no axis
    of length zero.

    Raises
    ------
    FeatureError
        another dtype, or an empty axis
    MissingDependencyError
        a GPU array without torch
    """
    x = gpu_tensor(array, name)
    if x is None:
        x = to_numpy(array, name)
    if dtype_name(x) not in FEATURE_DTYPES:
        raise FeatureError(
            f"{name} has dtype {dtype_name(x)}; supported are {', '.join(FEATURE_DTYPES)}: convert it, e.g. with "
            f"{name}.astype('float32')"
        )
    if 0 in x.shape:
        raise FeatureError(f"{name} has shape {tuple(x.shape)}: every axis must hold at least one element")
    return x


def to_host(array: Any) -> np.ndarray[Any, Any]:
    """``array`` in host memory. The only place where the library copies arrays from a GPU; callers report what and
    why."""
    if not is_tensor(array):
        return np.asarray(array)
    return to_numpy(array.cpu())


def to_device(array: Any, device: Any) -> Any:
    """``array`` as a torch tensor on ``device``; on "cpu" as NumPy.

    Raises
    ------
    UnavailableError
        no such device here
    """
    if str(device) == "cpu":
        return to_host(array)
    try:
        import torch
    except ImportError:
        raise missing_dependency(f"device {str(device)!r}", "torch", "hf") from None
    tensor = array if is_tensor(array) else _tensor(array, torch)
    try:
        return tensor.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        raise UnavailableError(
            f"device {str(device)!r} cannot be used here: {first_line(error)}; leave it out to compute on the CPU"
        ) from None


def beside(array: Any, other: Any) -> Any:
    """``array`` on the device of ``other``."""
    if not is_tensor(other):
        return to_host(array)
    import torch

    return (array if is_tensor(array) else _tensor(array, torch)).to(other.device)


def _tensor(array: Any, torch: Any) -> Any:
    """A torch tensor from a NumPy array, including bfloat16 and negative strides, which torch rejects."""
    values = np.ascontiguousarray(array)
    if not values.flags.writeable:
        values = values.copy()
    if values.dtype == BFLOAT16:
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def dtype_name(array: Any) -> str:
    """An array's dtype name, the same for NumPy and torch."""
    return str(array.dtype).removeprefix("torch.")


def astype(array: Any, dtype: str) -> Any:
    """``array`` in another dtype; ``array`` itself if it has that dtype."""
    if is_tensor(array):
        return array.to(getattr(sys.modules["torch"], dtype))
    return array.astype(dtype, copy=False)


def full(shape: int | tuple[int, ...], value: Any, dtype: str, like: Any) -> Any:
    """A new array filled with ``value``, on the device of ``like``."""
    if is_tensor(like):
        torch = sys.modules["torch"]
        return torch.full(
            shape if isinstance(shape, tuple) else (shape,), value, dtype=getattr(torch, dtype), device=like.device
        )
    return np.full(shape, value, dtype)


def empty(shape: int | tuple[int, ...], dtype: str, like: Any) -> Any:
    """A new array of any values, on the device of ``like``."""
    if is_tensor(like):
        torch = sys.modules["torch"]
        return torch.empty(shape, dtype=getattr(torch, dtype), device=like.device)
    return np.empty(shape, dtype)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """``np.where`` or ``torch.where``."""
    return (sys.modules["torch"] if is_tensor(condition) else np).where(condition, yes, no)


def isfinite(values: Any) -> Any:
    """``np.isfinite`` or ``torch.isfinite``."""
    return values.isfinite() if is_tensor(values) else np.isfinite(values)


def exp(values: Any) -> Any:
    """``np.exp`` or ``torch.exp``."""
    return values.exp() if is_tensor(values) else np.exp(values)


def concatenated(parts: tuple[Any, ...]) -> Any:
    """Arrays concatenated on their device."""
    return sys.modules["torch"].cat(parts) if is_tensor(parts[0]) else np.concatenate(parts)


def over_positive(numerator: Any, denominator: Any) -> Any:
    """The quotient where the denominator is above zero, 0 elsewhere."""
    above = denominator > 0
    if is_tensor(denominator):
        return where(above, numerator / where(above, denominator, 1.0), 0.0)
    out = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape))
    return np.divide(numerator, denominator, out=out, where=above)


def stable_order(values: Any) -> Any:
    """[n] int64: the places of ``values`` in ascending order; equal values keep their order."""
    return values.argsort(stable=True) if is_tensor(values) else values.argsort(kind="stable")


def largest_of_rows(values: Any) -> tuple[Any, Any]:
    """For each row of [n, m], the place of its largest value (the first, if several) and that value."""
    if is_tensor(values):
        largest, first = values.max(dim=1)  # the first of equals, as torch documents
        return first, largest
    first = values.argmax(axis=1)
    return first, values[np.arange(len(values)), first]


def counts(*masks: Any) -> list[Any]:
    """Number of true values in each of several masks of one shape: ints, or scalars on the device."""
    if is_tensor(masks[0]):
        return list(sys.modules["torch"].stack(masks).sum(1).unbind())
    return [int(np.count_nonzero(mask)) for mask in masks]


def true_places(mask: Any, most: int) -> Any:
    """[n] int64: indices of the true values, at most ``most``. On a GPU [most], padded with 0, so that there is no wait
    for n."""
    if not is_tensor(mask):
        return np.flatnonzero(mask)
    torch = sys.modules["torch"]
    # All the others go to one place past the end.
    place = torch.where(mask, mask.cumsum(0) - 1, most)
    out = torch.zeros(most + 1, dtype=torch.int64, device=mask.device)
    return out.scatter_(0, place, torch.arange(mask.numel(), device=mask.device))[:most]


def reader(*values: Any) -> Callable[[], list[float]]:
    """Stack scalars on their device; call the result to copy them to the host in one blocking transfer."""
    on_device = [v for v in values if is_tensor(v)]
    if not on_device:
        fixed = [float(v) for v in values]
        return lambda: fixed
    together = sys.modules["torch"].stack(on_device)

    def read() -> list[float]:
        found = iter(together.tolist())
        return [float(next(found)) if is_tensor(v) else float(v) for v in values]

    return read


def numbers(*values: Any) -> list[float]:
    """Scalars as floats; those on a device are copied in one blocking transfer."""
    return reader(*values)()
