"""Any array that speaks DLPack in, a NumPy view of the same memory out.

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
    """A NumPy view of ``array``; only data that NumPy cannot address is copied.

    Parameters
    ----------
    array : NumPy array, torch tensor, JAX array, or any other DLPack producer, in CPU memory
    name : what to call it in error messages

    Raises
    ------
    UnavailableError
        the array lives on an accelerator
    InputError
        the object is no array
    """
    if isinstance(array, np.ma.MaskedArray):
        raise InputError(f"{name} is a masked array; fill it first, with {name}.filled(...)")
    if isinstance(array, np.ndarray):
        return array
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return _from_torch(array, name, torch)
    if not hasattr(array, "__dlpack__"):
        if isinstance(array, (list, tuple, int, float)):
            try:
                return np.asarray(array)
            except ValueError as error:
                raise InputError(f"{name} is no array: {error}") from None
        raise InputError(f"{name} is {type(array).__name__}; pass a NumPy array, a torch tensor or a DLPack producer")
    if array.__dlpack_device__()[0] not in _DLPACK_CPU:
        raise UnavailableError(_on_device(name, str(array.__dlpack_device__())))
    try:
        return np.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError):
        if hasattr(array, "__array__"):  # JAX bfloat16: NumPy's importer does not know the type, ml_dtypes does
            return np.asarray(array)
        raise


def _from_torch(tensor: Any, name: str, torch: Any) -> np.ndarray[Any, Any]:
    if tensor.device.type != "cpu":
        raise UnavailableError(_on_device(name, str(tensor.device)))
    tensor = tensor.detach()
    is_bfloat16 = tensor.dtype == torch.bfloat16
    try:
        result: np.ndarray[Any, Any] = (tensor.view(torch.int16) if is_bfloat16 else tensor).numpy()
    except (RuntimeError, TypeError) as error:  # sparse, lazily negated, of a dtype NumPy lacks
        raise InputError(f"{name} cannot be read as a plain array: {error}") from None
    return result.view(BFLOAT16) if is_bfloat16 else result


def _on_device(name: str, device: str) -> str:
    return f"{name} is on {device}, but is read on the CPU: pass {name}.cpu() (or its host copy)"
