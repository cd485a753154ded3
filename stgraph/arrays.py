"""Array input: any array that speaks DLPack becomes a NumPy view of the same memory.

No array library is imported here: torch and the like are recognised by their loaded modules.
"""

from __future__ import annotations

import sys
from typing import Any

import ml_dtypes
import numpy as np

from stgraph.errors import InputError, UnavailableError

BFLOAT16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
FEATURE_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": BFLOAT16,
}
_DLPACK_CPU = (1, 3)  # kDLCPU, kDLCUDAHost


def to_numpy(array: Any, name: str = "array") -> np.ndarray[Any, Any]:
    """A NumPy view of ``array``; data is copied only if NumPy cannot address it.

    Parameters
    ----------
    array : NumPy array, torch tensor, JAX array, or any other DLPack producer, in CPU memory; a list, or a column of
        pandas or Arrow
    name : used in error messages

    Raises
    ------
    UnavailableError
        the array lives on an accelerator
    InputError
        the object is not an array, or its library does not give access to its values
    """
    if isinstance(array, np.ma.MaskedArray):
        raise InputError(f"{name} is a masked array; fill it first, with {name}.filled(...)")
    if isinstance(array, np.ndarray):
        return array
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return _from_torch(array, name, torch)
    if not hasattr(array, "__dlpack__"):
        if hasattr(array, "__array__"):
            return _through_array(array, name)
        if isinstance(array, (list, tuple, int, float)):
            try:
                return np.asarray(array)
            except ValueError as error:
                raise InputError(f"{name} is not an array: {error}") from None
        raise InputError(f"{name} is {type(array).__name__}; pass a NumPy array, a torch tensor or a DLPack producer")
    device = dlpack_device(array, name)
    if device[0] not in _DLPACK_CPU:
        raise UnavailableError(_on_device(name, str(device)))
    try:
        return np.from_dlpack(array)
    except Exception as error:  # whatever its library raises
        if hasattr(array, "__array__"):  # JAX bfloat16: NumPy's importer does not know the type, ml_dtypes does
            return _through_array(array, name)
        raise unreadable(array, name, error) from error


def _through_array(array: Any, name: str) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(array)
    except Exception as error:
        raise unreadable(array, name, error) from error


def dlpack_device(array: Any, name: str) -> tuple[int, int]:
    """(device type, device id) of a DLPack producer.

    Raises
    ------
    InputError
        it does not report one: a tracer inside ``jax.jit``, or an array that has been deleted or donated
    """
    try:
        kind, index = array.__dlpack_device__()
        return int(kind), int(index)
    except Exception as error:
        raise unreadable(array, name, error) from error


def unreadable(array: Any, name: str, error: Exception) -> InputError:
    """The single error for an array whose library does not give access to its values."""
    why = (str(error).splitlines() or [""])[0] or type(error).__name__
    return InputError(
        f"{name} ({type(array).__name__}) has no readable values: {why}. Pass an array that holds them: "
        "outside of jit and other transformations, before it is deleted or donated, or as a NumPy copy"
    )


def check_storage(tensor: Any, name: str) -> None:
    """Raise InputError if a torch tensor's memory has been freed or is smaller than its shape requires."""
    reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    needed = (tensor.storage_offset() + reach + 1) * tensor.element_size() if tensor.numel() else 0
    there = tensor.untyped_storage().nbytes()
    if there < needed:
        raise InputError(
            f"{name} has shape {tuple(tensor.shape)}, but its memory holds only {there:,} of {needed:,} bytes: it has "
            "been freed or resized. Pass a tensor that still holds its values"
        )


def _from_torch(tensor: Any, name: str, torch: Any) -> np.ndarray[Any, Any]:
    if tensor.device.type != "cpu":
        raise UnavailableError(_on_device(name, str(tensor.device)))
    tensor = tensor.detach()
    is_bfloat16 = tensor.dtype == torch.bfloat16
    try:
        check_storage(tensor, name)
        result: np.ndarray[Any, Any] = (tensor.view(torch.int16) if is_bfloat16 else tensor).numpy()
    except InputError:
        raise
    except Exception as error:  # sparse, nested, lazily negated, inside a transformation, of a dtype NumPy lacks
        raise InputError(f"{name} cannot be read as a plain array: {error}") from None
    return result.view(BFLOAT16) if is_bfloat16 else result


def answer(array: Any, owner: str, dtype: Any, copy: bool | None) -> np.ndarray[Any, Any]:
    """The result of ``owner.__array__``: ``array`` itself where dtype and ``copy`` allow it.

    Raises
    ------
    UnavailableError
        the array lies on a GPU; nothing is copied from there unless asked for
    ValueError
        ``copy=False``, but a copy is needed
    """
    if not isinstance(array, np.ndarray) and array.device.type != "cpu":
        raise UnavailableError(f"the {owner} lie on {array.device}, and NumPy reads host memory: call .to('cpu') first")
    found = to_numpy(array, owner)
    return np.array(found, dtype=dtype, copy=copy) if copy is not None else np.asarray(found, dtype=dtype)


def _on_device(name: str, device: str) -> str:
    return f"{name} is on {device}, but is read on the CPU: pass {name}.cpu() (or its host copy)"
