"""One tensor more, of a dtype that dumps do not hold, does not make a dump unreadable."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from plain_dumps import header, tensors
from safetensors.numpy import save_file

from stgraph import iter_frames, load, save_query
from stgraph.errors import DumpFormatError, MissingSignalError

ODD = {
    "uint64": ("U64", [3], 24),
    "uint16": ("U16", [3], 6),
    "int8": ("I8", [3], 3),
    "complex": ("C64", [3], 24),
    "float8": ("F8_E4M3", [3], 3),
    "float8 of powers": ("F8_E8M0", [3], 3),
}


def with_odd(path: Path, name: str, odd: str) -> None:
    """Add a tensor to a dump, or make one of its own odd, by its bytes."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    head, body = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    code, shape, n_bytes = ODD[odd]
    head[name] = {"dtype": code, "shape": shape, "data_offsets": [len(body), len(body) + n_bytes]}
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body + bytes(n_bytes))


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_tensor_more_does_not_make_a_dump_unreadable(
    tmp_path: Path, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a"
    save_file(tensors() | {"good": np.arange(3)}, path, header())
    expected = np.array(load(path).features)
    assert not caplog.records
    with_odd(path, "importance", odd)
    tokens = load(path)
    np.testing.assert_array_equal(tokens.features, expected)
    assert list(tokens.signals) == ["good"]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("stgraph", "WARNING")
    assert re.search(r"a: tensor 'importance' has .*; it is left out$", record.getMessage())
    with pytest.raises(MissingSignalError, match=r"x needs the signal 'importance', which cannot be read: tensor 'imp"):
        tokens.signal("importance", "x")
    assert sum(1 for _ in iter_frames(path)) == tokens.grid.T


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_tensor_of_a_query_file_is_left_out_too(
    tmp_path: Path, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    save_file(tensors(), tmp_path / "a", header())
    save_query(tmp_path / "q", {"good": np.arange(3)})
    with_odd(tmp_path / "q", "importance", odd)
    tokens = load(tmp_path / "a", tmp_path / "q")
    assert "good" in tokens.signals
    assert "importance" not in tokens.signals
    assert "q: tensor 'importance' has" in caplog.text
    with pytest.raises(MissingSignalError, match="which cannot be read: tensor 'importance'"):
        tokens.signal("importance")


@pytest.mark.parametrize("name", tensors())
def test_an_odd_tensor_that_every_dump_needs_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a"
    save_file({k: v for k, v in tensors().items() if k != name}, path, header())
    with_odd(path, name, "uint64")
    with pytest.raises(DumpFormatError, match=f"tensor '{name}' has the unsupported dtype U64"):
        load(path)


def test_many_odd_tensors_are_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a"
    save_file(tensors(), path, header())
    for i, odd in enumerate(ODD):
        with_odd(path, f"odd{i}", odd)
    load(path)
    assert len(caplog.records) == 1
    assert f"(and {len(ODD) - 1} more cannot be read)" in caplog.text
