"""The header of a dump: the file's own description, checked before anything is allocated or mapped."""

from __future__ import annotations

import os
import sys
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from stgraph.errors import DumpFormatError
from stgraph.plain_json import parse_json

MAX_HEADER_BYTES = 4 << 20
"""A header of a million brackets needs a hundred times its length in memory; a real one has a few kilobytes."""
MAX_AXES = 32  # a few more than any signal has, and fewer than NumPy's 64
_SHOWN = 200  # characters of a hostile name quoted in an error

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}


class Entry(NamedTuple):
    """A tensor's position in the file (byte offsets from its start), shape and dtype."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Stamp(NamedTuple):
    """Identity of a file, to notice a replacement with the same name."""

    device: int
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Stamp:
        """The stamp of ``os.stat(path)`` or ``os.fstat(descriptor)``."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


class Header(NamedTuple):
    """A parsed header: text by key, tensor entries, where their data begin, and the file's stamp."""

    text: dict[str, str]
    tensors: dict[str, Any]
    start: int
    stamp: Stamp


def read_header(file: Path) -> Header:
    """The header of a safetensors file, whether or not it is a dump.

    Raises
    ------
    DumpFormatError
        unreadable, truncated, not safetensors, or a header that is too long or repeats a key
    """
    from safetensors import SafetensorError, safe_open

    try:
        with file.open("rb") as stream:
            stamp = Stamp.of(os.fstat(stream.fileno()))
            length = int.from_bytes(stream.read(8), "little")
            if MAX_HEADER_BYTES < length <= stamp.size:
                raise DumpFormatError(
                    f"cannot read {file}: its header has {length:,} bytes, more than a dump's "
                    f"{MAX_HEADER_BYTES:,}; it is not a dump, or its metadata belong in tensors"
                )
            # Nothing here is trusted until the library has checked lengths, overlaps, ranges and UTF-8.
            with safe_open(file, framework="numpy"):
                text = stream.read(length).decode()
            replaced = Stamp.of(os.stat(file)) != stamp  # the library opens by name, which may be another file by now
    except (SafetensorError, OSError) as error:
        reason = str(error)[:_SHOWN]
        raise DumpFormatError(f"cannot read {file}: {reason}; it is truncated or not a safetensors file") from None
    if replaced:
        raise DumpFormatError(f"cannot read {file}: it was replaced while being opened; read it again")
    try:
        tensors = parse_json(text)
    except ValueError as error:
        raise DumpFormatError(f"cannot read {file}: its header is not plain JSON ({error})") from None
    return Header(tensors.pop("__metadata__", None) or {}, tensors, 8 + length, stamp)


def locate(file: Path, header: Header) -> tuple[dict[str, Entry], dict[str, str]]:
    """The place of each tensor in a checked header, and the reason for those whose dtype we cannot read.

    Raises
    ------
    DumpFormatError
        an impossible shape
    """
    entries, unread = {}, {}
    for name, tensor in header.tensors.items():
        shape, code, shown = tuple(tensor["shape"]), tensor["dtype"], name[:_SHOWN]
        if code not in DTYPES:
            unread[name] = f"tensor {shown!r} has the unsupported dtype {code}"
            continue
        dtype = DTYPES[code]
        # An empty tensor can claim axes of any length: the library multiplies them to 0, NumPy does not.
        if len(shape) > MAX_AXES or prod(max(n, 1) for n in shape) * dtype.itemsize > sys.maxsize:
            claim = f"{len(shape)} axes" if len(shape) > MAX_AXES else f"the shape {list(shape)}"
            raise DumpFormatError(f"cannot read {file}: tensor {shown!r} has {claim}, which no array can have")
        entries[name] = Entry(header.start + tensor["data_offsets"][0], shape, dtype)
    return entries, unread
