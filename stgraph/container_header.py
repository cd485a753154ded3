"""The header of a dump: what the file says it holds, checked before anything is allocated or mapped."""

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
"""A header of one million brackets takes a hundred times its length in memory; a real one takes a few kilobytes."""
MAX_AXES = 32  # a few more than any signal has, and fewer than NumPy's 64
_SHOWN = 200  # characters of a hostile name that an error repeats

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
    """Where a tensor lies in the file, bytes from its beginning, and what it is."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Stamp(NamedTuple):
    """What tells a file from another that has taken its name."""

    device: int
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Stamp:
        """The stamp of ``os.stat(path)`` or ``os.fstat(descriptor)``."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


class Header(NamedTuple):
    """What a file says: its text by key, its tensors as they stand there, where their data begin, and its stamp."""

    text: dict[str, str]
    tensors: dict[str, Any]
    start: int
    stamp: Stamp


def read_header(file: Path) -> Header:
    """The header of a file, not yet whether it is one of a dump.

    Raises
    ------
    DumpFormatError
        unreadable, truncated, not safetensors, a header that is too long or says something twice
    """
    from safetensors import SafetensorError, safe_open

    try:
        with file.open("rb") as stream:
            stamp = Stamp.of(os.fstat(stream.fileno()))
            length = int.from_bytes(stream.read(8), "little")
            if MAX_HEADER_BYTES < length <= stamp.size:
                raise DumpFormatError(
                    f"cannot read {file}: its header takes {length:,} bytes, that of a dump at most "
                    f"{MAX_HEADER_BYTES:,}; it is no dump, or has metadata that belong in tensors"
                )
            # The library checks lengths, overlaps, ranges and UTF-8; only then is anything here trusted.
            with safe_open(file, framework="numpy"):
                text = stream.read(length).decode()
            replaced = Stamp.of(os.stat(file)) != stamp  # the library opens the name, which may be another file by now
    except (SafetensorError, OSError) as error:
        reason = str(error)[:_SHOWN]
        raise DumpFormatError(f"cannot read {file}: {reason}; it is truncated or not a safetensors file") from None
    if replaced:
        raise DumpFormatError(f"cannot read {file}: it was replaced while it was opened; read it again")
    try:
        tensors = parse_json(text)
    except ValueError as error:
        raise DumpFormatError(f"cannot read {file}: its header is not plain JSON ({error})") from None
    return Header(tensors.pop("__metadata__", None) or {}, tensors, 8 + length, stamp)


def locate(file: Path, header: Header) -> tuple[dict[str, Entry], dict[str, str]]:
    """Where each tensor of a checked header lies; and why others, of a dtype that is not among ours, cannot be read.

    Raises
    ------
    DumpFormatError
        a shape that no array can have
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
