"""The file format under every dump: safetensors with our JSON header, memory-mapped when read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.container_header import DTYPES, MAX_HEADER_BYTES, Entry, Stamp, locate, read_header
from stgraph.errors import DumpFormatError, DumpVersionError, InputError
from stgraph.files import atomic_path
from stgraph.plain_json import parse_json

SCHEMA_VERSION = 1
READERS = {
    "tokens": "stgraph.load(path)",
    "query": "stgraph.load(dump, query=path)",
    "selection": "stgraph.Selection.load(path)",
    "partition": "stgraph.Partition.load(path)",
}


class MappedTensors(Mapping[str, Array]):
    """Name -> read-only array, mapped from the file on first access.

    ``unread`` gives the reason for tensors in the file that cannot be read; they are not among the names.
    """

    def __init__(
        self, path: Path, entries: Mapping[str, Entry], stamp: Stamp, unread: Mapping[str, str] | None = None
    ) -> None:
        self.unread = dict(unread or {})
        self._path = path
        self._entries = dict(entries)
        self._stamp = stamp
        self._arrays: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._arrays:
            offset, shape, dtype = self._entries[name]
            if prod(shape) == 0:
                self._arrays[name] = np.empty(shape, dtype)
            else:
                with self._opened() as stream:
                    mapped = np.memmap(
                        stream, dtype=np.uint8, mode="r", offset=offset, shape=(prod(shape) * dtype.itemsize,)
                    )
                self._arrays[name] = np.asarray(mapped).view(dtype).reshape(shape)
        return self._arrays[name]

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The file whose header was read: its offsets mean nothing in another file."""
        try:
            with self._path.open("rb") as stream:
                if Stamp.of(os.fstat(stream.fileno())) != self._stamp:
                    raise DumpFormatError(
                        f"cannot read {self._path}: it has changed since it was opened; open it again"
                    )
                yield stream
        except OSError as error:
            raise DumpFormatError(f"cannot read {self._path}: {error.strerror or error}; open it again") from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def require(self, *names: str) -> None:
        """Raise DumpFormatError unless all the named tensors can be read."""
        for name in names:
            if name in self.unread:
                raise DumpFormatError(f"cannot read {self._path}: {self.unread[name]}")
        missing = [name for name in names if name not in self]
        if missing:
            raise DumpFormatError(f"cannot read {self._path}: the dump lacks {', '.join(missing)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def read_rows(self, name: str, start: int, stop: int) -> Array:
        """Rows [start, stop) of a tensor, read separately into their own memory.

        Raises
        ------
        DumpFormatError
            the file has changed since it was opened
        """
        offset, shape, dtype = self._entries[name]
        row_bytes = prod(shape[1:]) * dtype.itemsize
        out = np.empty((stop - start, *shape[1:]), dtype)
        buffer = out.reshape(-1).view(np.uint8).data
        with self._opened() as stream:
            stream.seek(offset + start * row_bytes)
            n_read = stream.readinto(buffer)
        if n_read != len(buffer):
            raise DumpFormatError(f"cannot read {self._path}: it ends before row {stop} of {name!r}; open it again")
        return out

    def without(self, *names: str) -> MappedTensors:
        """The same tensors without ``names``."""
        entries = {k: v for k, v in self._entries.items() if k not in names}
        return MappedTensors(self._path, entries, self._stamp, self.unread)


def write(path: str | os.PathLike[str], kind: str, tensors: Mapping[str, Array], metadata: Mapping[str, Any]) -> None:
    """Write ``tensors`` and ``metadata`` (JSON values) as a dump of ``kind``, atomically.

    Raises
    ------
    InputError
        a dtype the format lacks, metadata that is not JSON, or an unwritable path
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    for name, array in tensors.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise InputError(f"a tensor cannot be called {name!r}; choose another name")
        if array.dtype not in DTYPES.values():
            raise InputError(f"tensor {name!r} has dtype {array.dtype}, which a dump cannot hold")
    try:
        header = json.dumps(metadata, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"metadata cannot be written as JSON: {error}") from None
    text = {"stgraph": kind, "schema_version": str(SCHEMA_VERSION), "metadata": header}
    with atomic_path(path) as temporary:
        try:
            save_file({name: np.asarray(array, order="C") for name, array in tensors.items()}, temporary, metadata=text)
        except SafetensorError as error:  # a full disk is one of these, not an OSError
            raise OSError(str(error)) from error
        with temporary.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise InputError(
                f"cannot write {path}: its metadata make a header of {length:,} bytes; only {MAX_HEADER_BYTES:,} "
                "can be read back: store long values as a signal"
            )


def read(path: str | os.PathLike[str], kind: str) -> tuple[MappedTensors, dict[str, Any]]:
    """The lazily mapped tensors and the metadata of a dump of ``kind``.

    Raises
    ------
    DumpFormatError
        missing, truncated, not safetensors, not an stgraph dump, or a dump of another kind
    DumpVersionError
        written by a newer schema
    """
    file = Path(path)
    if not os.path.isfile(file):  # unlike Path.is_file, false for impossible file names
        what = "is a folder" if os.path.isdir(file) else "does not exist"
        raise DumpFormatError(f"cannot read {file}: it {what}; give the path of a token dump (.safetensors)")
    header = read_header(file)
    _check_header(file, header.text, kind)
    entries, unread = locate(file, header)
    try:
        metadata = parse_json(header.text.get("metadata", "{}"))
    except ValueError as error:
        raise DumpFormatError(f"cannot read {file}: its metadata is not JSON ({error})") from None
    if not isinstance(metadata, dict):
        raise DumpFormatError(f"cannot read {file}: its metadata is {type(metadata).__name__}, not an object")
    return MappedTensors(file, entries, header.stamp, unread), metadata


def kind_of_dump(path: str | os.PathLike[str]) -> str | None:
    """The kind stated by a dump, such as "tokens" or "selection"; None for any other file."""
    try:
        return read_header(Path(path)).text.get("stgraph")
    except DumpFormatError:
        return None


def read_plain(path: str | os.PathLike[str]) -> MappedTensors:
    """The tensors of any safetensors file, mapped lazily.

    Raises
    ------
    DumpFormatError
        missing, truncated or not safetensors
    """
    file = Path(path)
    header = read_header(file)
    entries, unread = locate(file, header)
    return MappedTensors(file, entries, header.stamp, unread)


def _check_header(file: Path, text: Mapping[str, str], kind: str) -> None:
    found = text.get("stgraph")
    if found is None:
        raise DumpFormatError(
            f"{file} is a safetensors file but not an stgraph dump: its header lacks the key 'stgraph'"
        )
    version = text.get("schema_version", "")
    if not (version.isascii() and version.isdecimal()):
        raise DumpFormatError(f"cannot read {file}: its schema version is {version[:20]!r}, not a number")
    if len(version) > 9 or int(version) > SCHEMA_VERSION:
        raise DumpVersionError(
            f"{file} has dump format {version[:20]}; this stgraph reads up to {SCHEMA_VERSION}: upgrade stgraph"
        )
    if found != kind:
        reader = f". Read it with {READERS[found]}" if found in READERS else ""
        raise DumpFormatError(f"{file} is a dump of kind {found[:60]!r}; expected {kind!r}{reader}")
