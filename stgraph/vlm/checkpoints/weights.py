"""Weights of a checkpoint folder: names and shapes from the headers of its files, values when they are used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from stgraph.errors import InputError

_INDEX = "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth")
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Entry:
    """One stored tensor: its file, its name there, its shape, and its dtype by torch's name (None: not a float)."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str | None
    stored_bytes: int

    def n_bytes(self, dtype: str | None = None) -> int:
        """Its size in bytes in a dtype; None for the stored one."""
        if dtype is None or self.dtype is None:
            return self.stored_bytes
        return self.stored_bytes // _BYTES[self.dtype] * _BYTES[dtype]


@dataclass(frozen=True, eq=False)
class Weights:
    """All tensors of a checkpoint by name, not read yet."""

    entries: Mapping[str, Entry]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a stored tensor.

        Raises
        ------
        InputError
            the checkpoint lacks it
        """
        if name not in self.entries:
            raise InputError(f"the weights hold no {name!r}; is the checkpoint complete?")
        return self.entries[name].shape

    @property
    def dtype(self) -> str:
        """The dtype most weights are stored in."""
        known = Counter(entry.dtype for entry in self.entries.values() if entry.dtype is not None)
        if not known:
            raise InputError("the weights hold no float32, float16 or bfloat16 tensor; quantised weights are not read")
        return known.most_common(1)[0][0]

    @contextmanager
    def mapped(self, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Tensors by new name; ``names`` maps it to the stored one. They are mapped from the files: a page is read when
        first used. Copy tensors that must outlive the block."""
        from safetensors import safe_open

        with ExitStack() as stack:
            opened: dict[Path, Any] = {}
            tensors = {}
            for new, old in names.items():
                entry = self.entries[old]
                if entry.file not in opened:
                    opened[entry.file] = stack.enter_context(safe_open(entry.file, "pt"))
                tensors[new] = opened[entry.file].get_tensor(entry.name)
            yield tensors


def stored_weights(folder: Path, prefix: str = "") -> Weights:
    """The weights of the safetensors files in ``folder``, ``prefix`` before each name.

    Raises
    ------
    InputError
        there are no files, they are pickled, or one is damaged or missing although the index names it
    """
    from safetensors import SafetensorError, safe_open

    entries: dict[str, Entry] = {}
    for file in _files(folder):
        try:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # a handle, not a dict
                    part = opened.get_slice(name)
                    kind, shape = part.get_dtype(), tuple(part.get_shape())
                    n_bytes = prod(shape) * int("".join(filter(str.isdecimal, kind)) or 8) // 8
                    entries[prefix + name] = Entry(file, name, shape, _DTYPES.get(kind), n_bytes)
        except (SafetensorError, OSError) as error:
            raise InputError(f"cannot read {file}: {error}; copy the checkpoint again") from None
    return Weights(entries)


def joined(*parts: Weights) -> Weights:
    """The weights of several folders combined."""
    return Weights({name: entry for part in parts for name, entry in part.entries.items()})


def _files(folder: Path) -> list[Path]:
    index = folder / _INDEX
    if index.is_file():
        try:
            named = sorted({folder / file for file in json.loads(index.read_text())["weight_map"].values()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"cannot read {index}: {error!r}; copy the checkpoint again") from None
        if any(file.parent != folder for file in named):
            raise InputError(f"cannot read {index}: it names files outside {folder}")
        missing = [file.name for file in named if not file.is_file()]
        if missing:
            raise InputError(f"{folder} lacks {', '.join(missing)}, which its {_INDEX} names; copy the missing files")
        return named
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return files
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    if pickled:
        raise InputError(
            f"{folder} holds pickled weights ({pickled[0]}), which can run code when they are read, and no "
            "safetensors. If you trust them, read them once with torch.load(..., weights_only=True) and write them "
            "with safetensors.torch.save_file"
        )
    raise InputError(f"{folder} holds no weights; expected *.safetensors")
