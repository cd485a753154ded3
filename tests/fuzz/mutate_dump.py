"""Dumps that are wrong in one place, and right enough around it to get past the first checks."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

Header = dict[str, Any]
SIZES = (0, 1, 2, 3, 31, 33, 65, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -1)
CODES = ("F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL", "I8", "U16", "U64", "F8_E4M3", "C64", "F4", "", "f32")
NAMES = (
    "features",
    "token_t",
    "token_y",
    "token_x",
    "token_kind",
    "seq_index",
    "importance",
    "frame_time",
    "",
    "\0",
    "é",
)
TEXTS = (
    "",
    "{",
    "[]",
    "null",
    "-1",
    "2",
    "1" * 5000,
    "[" * 300,
    '{"a":1,"a":2}',
    '{"a":NaN}',
    '{"a":"\\ud800"}',
    "\x1b[2J",
)


def split(data: bytes) -> tuple[Header, bytes]:
    """Header and data of a dump.

    Raises
    ------
    ValueError
        it is none
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length].decode())
    if not isinstance(header, dict) or not header:
        raise ValueError("the header is no object, or says nothing")
    return header, data[8 + length :]


def join(header: Header | bytes, data: bytes) -> bytes:
    """The file of a header and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def mutate(data: bytes, rng: random.Random) -> bytes:
    """``data``, a dump, with one to three changes; what is no dump comes back with its bytes changed."""
    for _ in range(rng.randint(1, 3)):
        try:
            header, body = split(data)
        except (ValueError, RecursionError):
            return _change_bytes(data, rng)
        data = rng.choice(CHANGES)(header, body, rng)
    return data


def _tensor(header: Header, rng: random.Random) -> Header:
    """One of the header's tensors."""
    there = [value for name, value in header.items() if name != "__metadata__" and isinstance(value, dict)]
    return rng.choice(there) if there else {}


def _change_bytes(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data or b"\0")
    for _ in range(rng.randint(1, 4)):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _cut(header: Header, body: bytes, rng: random.Random) -> bytes:
    whole = join(header, body)
    return whole[: rng.randrange(len(whole))]


def _claim_length(header: Header, body: bytes, rng: random.Random) -> bytes:
    return rng.choice(SIZES[:-1]).to_bytes(8, "little") + join(header, body)[8:]


def _reshape(header: Header, body: bytes, rng: random.Random) -> bytes:
    tensor = _tensor(header, rng)
    shape = list(tensor.get("shape", []))
    if shape and rng.random() < 0.6:
        shape[rng.randrange(len(shape))] = rng.choice(SIZES)
    elif rng.random() < 0.5:
        shape = [1] * rng.choice((0, 31, 33, 65, 1000)) + shape
    else:
        shape = [rng.choice(SIZES) for _ in range(rng.randint(0, 3))] + [0]
        tensor["data_offsets"] = [0, 0]
    tensor["shape"] = shape
    return join(header, body)


def _retype(header: Header, body: bytes, rng: random.Random) -> bytes:
    _tensor(header, rng)["dtype"] = rng.choice(CODES)
    return join(header, body)


def _move(header: Header, body: bytes, rng: random.Random) -> bytes:
    offsets = _tensor(header, rng).setdefault("data_offsets", [0, 0])
    offsets[rng.randrange(len(offsets) or 1) :] = [rng.choice((*SIZES, len(body)))]
    return join(header, body)


def _rename(header: Header, body: bytes, rng: random.Random) -> bytes:
    old = rng.choice(list(header))
    header[rng.choice(NAMES)] = header.pop(old)
    return join(header, body)


def _repeat(header: Header, body: bytes, rng: random.Random) -> bytes:
    """One key twice, which no ``dict`` can say."""
    name = rng.choice(list(header))
    text = json.dumps(header)
    return join(f"{text[:-1]}, {json.dumps(name)}: {json.dumps(header[name])}}}".encode(), body)


def _say(header: Header, body: bytes, rng: random.Random) -> bytes:
    text = header.setdefault("__metadata__", {})
    if isinstance(text, dict):
        text[rng.choice(("stgraph", "schema_version", "metadata", "metadata", "x"))] = rng.choice(TEXTS)
    return join(header, body)


def _nest(header: Header, body: bytes, rng: random.Random) -> bytes:
    depth = rng.choice((10, 127, 500, 900, 985, 1100))
    if rng.random() < 0.5:
        header["__metadata__"] = {
            "stgraph": "tokens",
            "schema_version": "1",
            "metadata": '{"a":' * depth + "1" + "}" * depth,
        }
        return join(header, body)
    return join(json.dumps(header)[:-1].encode() + b', "x": ' + b"[" * depth + b"]" * depth + b"}", body)


def _not_utf8(header: Header, body: bytes, rng: random.Random) -> bytes:
    text = bytearray(json.dumps(header).encode())
    text[rng.randrange(len(text))] = rng.choice((0x00, 0x80, 0xC0, 0xED, 0xFF))
    return join(bytes(text), body)


def _change_data(header: Header, body: bytes, rng: random.Random) -> bytes:
    return join(header, _change_bytes(body, rng) if body else body)


CHANGES: tuple[Callable[[Header, bytes, random.Random], bytes], ...] = (
    _cut,
    _claim_length,
    _reshape,
    _reshape,
    _retype,
    _move,
    _rename,
    _repeat,
    _say,
    _nest,
    _not_utf8,
    _change_data,
    _change_data,
)
