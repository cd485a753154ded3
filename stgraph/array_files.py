"""Features from files that are not dumps: NumPy arrays, PyTorch tensors, plain safetensors."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stgraph import container
from stgraph.container_header import read_header
from stgraph.errors import DumpFormatError, FeatureError, missing_dependency
from stgraph.tokens import VideoTokens

_PIXELS = 4  # a last axis this short is one of colours


def read_array_file(path: str | os.PathLike[str]) -> VideoTokens | None:
    """The tokens of a ``.npy``, ``.npz``, ``.pt`` or plain safetensors file; None for any other file.

    The file holds one array of features [T, H, W, d], or one called ``features``. Code in it is never run: pickled
    objects are refused.

    Raises
    ------
    FeatureError
        no array in the file is clearly [T, H, W, d]; the message gives a line that reads it
    DumpFormatError
        the file is damaged, or holds pickled objects
    MissingDependencyError
        a PyTorch file, without PyTorch
    """
    file = Path(path)
    reader = _reader(file)
    if reader is None:
        return None
    code, read = reader
    try:
        arrays = read(file)
    except (FeatureError, DumpFormatError, ImportError):
        raise
    except Exception as error:  # zip, pickle and both libraries raise what they like
        raise DumpFormatError(
            f"cannot read {file}: {_first_line(error)}; it is damaged, or holds objects that are not plain arrays"
        ) from None
    name = _features(file, arrays, code)
    return VideoTokens.from_array(arrays[name], metadata={"title": file.stem, "source": file.name})


def _reader(file: Path) -> tuple[str, Callable[[Path], Mapping[str, Any]]] | None:
    """The reader of a file: as a line of Python, with {name} for the array's name, and as a function."""
    try:
        with file.open("rb") as stream:
            head = stream.read(9)
    except (OSError, ValueError):
        return None
    shown = str(file)
    if head.startswith(b"\x93NUMPY"):
        return f"np.load({shown!r})", _npy
    if head.startswith(b"PK\x03\x04"):
        if _is_torch(file):
            return f"torch.load({shown!r}, weights_only=True){{name}}", _torch
        return f"np.load({shown!r}){{name}}", _npz
    if file.suffix.lower() in (".pt", ".pth", ".bin") and head.startswith(b"\x80"):  # a pickle, as PyTorch once wrote
        return f"torch.load({shown!r}, weights_only=True){{name}}", _torch
    if head[8:9] == b"{" and "stgraph" not in _text_of(file):
        return f"safetensors.numpy.load_file({shown!r}){{name}}", _safetensors
    return None


def _npy(file: Path) -> Mapping[str, Any]:
    return {"": np.load(file, mmap_mode="r", allow_pickle=False)}


def _npz(file: Path) -> Mapping[str, Any]:
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _torch(file: Path) -> Mapping[str, Any]:
    try:
        import torch
    except ImportError:
        raise missing_dependency(f"reading {file}", "torch", "hf") from None
    found = torch.load(file, map_location="cpu", weights_only=True)
    named = {"": found} if isinstance(found, torch.Tensor) else found if isinstance(found, Mapping) else {}
    return {str(name): value for name, value in named.items() if isinstance(value, torch.Tensor)}


def _safetensors(file: Path) -> Mapping[str, Any]:
    return container.read_plain(file)


def _features(file: Path, arrays: Mapping[str, Any], code: str) -> str:
    """Name of the array with the features."""
    if "features" in arrays:
        wanted = ["features"]
    else:
        wanted = [name for name, array in arrays.items() if len(array.shape) == 4] or list(arrays)
    if len(wanted) == 1 and _is_clear(tuple(arrays[wanted[0]].shape)):
        return wanted[0]
    shapes = ", ".join(f"{name or 'an array'} {list(array.shape)}" for name, array in list(arrays.items())[:4])
    more = f" and {len(arrays) - 4:,} more" if len(arrays) > 4 else ""
    shape = tuple(arrays[wanted[0]].shape) if wanted else ()
    name = f"[{wanted[0]!r}]" if wanted and wanted[0] else ""
    target = str(file.with_suffix(".dump.safetensors"))
    line = f"VideoTokens.from_array({code.format(name=name)}{_grid(shape)}).save({target!r})"
    raise FeatureError(
        f"{file} holds {shapes or 'no array'}{more}; which of it is [T, H, W, d] (frames, height, width, dimension) is "
        f"not clear. Say it in Python, and read the dump: {line}"
    )


def _is_clear(shape: tuple[int, ...]) -> bool:
    """Whether the last of four axes must be the feature dimension, excluding [T, d, H, W] and pictures."""
    return len(shape) == 4 and shape[3] > _PIXELS and shape[3] >= max(shape[1:3])


def _grid(shape: tuple[int, ...]) -> str:
    if len(shape) == 4:
        return ".transpose(0, 2, 3, 1)" if shape[1] > shape[3] else ""
    return ", grid=(H, W)" if len(shape) == 3 else ", grid=(T, H, W)"


def _is_torch(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _text_of(file: Path) -> Mapping[str, str]:
    """The text of a header; if unreadable, treated as one of ours, so that the reader of dumps reports the reason."""
    try:
        return read_header(file).text
    except DumpFormatError:
        return {"stgraph": ""}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
