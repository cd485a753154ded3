"""Damaged, foreign and newer files are refused by name; a failed write leaves what was there."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_zoo import features
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_dumps import header, tensors
from safetensors.numpy import save_file

from stgraph import VideoTokens, load, save_query
from stgraph.container import write
from stgraph.errors import DumpFormatError, DumpVersionError, FeatureError, InputError, StgraphError
from stgraph.files import atomic_path

Array = np.ndarray[Any, Any]


def tokens() -> VideoTokens:
    return VideoTokens.from_array(features((2, 2, 3, 4)), importance=np.ones(12), metadata={"source": "a test"})


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a valid dump."""
    path = tmp_path_factory.mktemp("dump") / "a"
    tokens().save(path)
    return path.read_bytes()


def header_length(dump: bytes) -> int:
    return 8 + int.from_bytes(dump[:8], "little")


# Reading


def test_every_truncation_is_refused(tmp_path: Path, dump: bytes) -> None:
    path = tmp_path / "a"
    for length in {*range(20), *range(20, len(dump), 13), header_length(dump), len(dump) - 1}:
        path.write_bytes(dump[:length])
        with pytest.raises(DumpFormatError, match=r"cannot read .*/a: .* truncated or not a safetensors file"):
            load(path)


def test_trailing_bytes_are_refused(tmp_path: Path, dump: bytes) -> None:
    (tmp_path / "a").write_bytes(dump + b"\0")
    with pytest.raises(DumpFormatError):
        load(tmp_path / "a")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"not a dump at all",
        bytes(64),
        b"\xff" * 64,
        b"PK\x03\x04" + bytes(100),
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{]",
        (2**40).to_bytes(8, "little") + b"{}",
        (3).to_bytes(8, "little") + b"\xff\xfe\xfd",
    ],
    ids=repr,
)
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DumpFormatError, match=r"cannot read .*/a: "):
        load(tmp_path / "a")


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_header_is_refused_or_read(tmp_path: Path, dump: bytes, data: st.DataObject) -> None:
    """No damage leads to an exception that a caller of stgraph would not expect."""
    damaged = bytearray(dump)
    for _ in range(data.draw(st.integers(1, 3))):
        # Printable characters, which more often leave valid JSON.
        damaged[data.draw(st.integers(0, header_length(dump) - 1))] = data.draw(st.integers(32, 126))
    (tmp_path / "a").write_bytes(damaged)
    try:
        found = load(tmp_path / "a")
    except StgraphError:
        return
    assert found.lattice.shape == (2, 2, 3, 4)
    assert all(isinstance(found.signal(name), np.ndarray) for name in found.signals)


def test_other_safetensors_files_are_refused(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3)}, tmp_path / "a")
    with pytest.raises(FeatureError, match=r"holds weight \[3\]; which of it is \[T, H, W, d\]"):
        load(tmp_path / "a")
    with pytest.raises(DumpFormatError, match="not an stgraph dump: its header lacks the key 'stgraph'"):
        load(tmp_path / "a", tmp_path / "query")


@pytest.mark.parametrize("version", ["2", "10", "999999999", "1" + "0" * 5000])
def test_newer_schema_is_refused(tmp_path: Path, version: str) -> None:
    save_file(tensors(), tmp_path / "a", header(schema_version=version))
    with pytest.raises(DumpVersionError, match=rf"dump format {version[:20]}; .* reads up to 1"):
        load(tmp_path / "a")


@pytest.mark.parametrize("version", ["", "one", "-1", "1.0", "²", "\u0661", " 1", None])
def test_schema_that_is_no_number_is_refused(tmp_path: Path, version: str | None) -> None:
    save_file(tensors(), tmp_path / "a", header(schema_version=version))
    with pytest.raises(DumpFormatError, match=r"its schema version is .*, not a number"):
        load(tmp_path / "a")


def test_dumps_of_another_kind_are_refused(tmp_path: Path) -> None:
    tokens().save(tmp_path / "video")
    save_query(tmp_path / "query", {"importance": np.ones((2, 2, 3), np.float32)})
    with pytest.raises(DumpFormatError, match="/query is a dump of kind 'query'; expected 'tokens'"):
        load(tmp_path / "query")
    with pytest.raises(DumpFormatError, match="/video is a dump of kind 'tokens'; expected 'query'"):
        load(tmp_path / "video", query=tmp_path / "video")


@pytest.mark.parametrize("text", ["", "{", "nothing", "[" * 100_000, "1" * 5000])
def test_metadata_that_is_no_json(tmp_path: Path, text: str) -> None:
    save_file(tensors(), tmp_path / "a", header(metadata=text))
    with pytest.raises(DumpFormatError, match="/a: its metadata is not JSON"):
        load(tmp_path / "a")


@pytest.mark.parametrize(("text", "found"), [("[]", "list"), ("3", "int"), ("null", "NoneType"), ('"x"', "str")])
def test_metadata_that_is_no_object(tmp_path: Path, text: str, found: str) -> None:
    save_file(tensors(), tmp_path / "a", header(metadata=text))
    with pytest.raises(DumpFormatError, match=f"its metadata is {found}, not an object"):
        load(tmp_path / "a")


def test_metadata_may_be_left_out(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "a", header(metadata=None))
    assert load(tmp_path / "a").metadata == {}


@pytest.mark.parametrize("name", tensors())
def test_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a", "tokens", {k: v for k, v in tensors().items() if k != name}, {})
    with pytest.raises(DumpFormatError, match=f"cannot read .*/a: the dump lacks {name}"):
        load(tmp_path / "a")


@pytest.mark.parametrize(
    "changed",
    [
        {"features": features((11, 4))},
        {"features": features((12,))},
        {"features": np.zeros((12, 4))},
        {"features": np.zeros((12, 0), np.float32)},
        {"token_t": np.zeros(12, np.int32)},
        {"token_x": np.zeros(11, np.int32)},
        {"token_kind": np.ones(12, np.uint8)},
        {"token_kind": np.zeros(13, np.uint8)},
        {"frame_time": np.zeros(3)},
    ],
    ids=str,
)
def test_tensors_that_do_not_fit_together(tmp_path: Path, changed: dict[str, Array]) -> None:
    write(tmp_path / "a", "tokens", tensors() | changed, {})
    with pytest.raises(InputError):
        load(tmp_path / "a")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DumpFormatError, match=r"cannot read .*/none: it does not exist; give the path of a token dump"):
        load(tmp_path / "none")
    with pytest.raises(DumpFormatError, match="it is a folder"):
        load(tmp_path)
    tokens().save(tmp_path / "a")
    with pytest.raises(DumpFormatError, match=r"cannot read .*/none: it does not exist"):
        load(tmp_path / "a", query=tmp_path / "none")


# Writing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_unwritable_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "no folder" / "a", tmp_path / "file" / "a"):
        with pytest.raises(InputError, match=r"cannot write .*/a: .*; choose an existing folder you may write to"):
            tokens().save(path)
    with pytest.raises(InputError, match=r"cannot write .*: it is a folder; give a file name"):
        tokens().save(tmp_path)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
def test_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    (tmp_path / "a").write_bytes(b"precious")

    def half_written(tensors: Any, filename: Path, metadata: Any) -> None:
        filename.write_bytes(b"half")
        raise error

    monkeypatch.setattr("safetensors.numpy.save_file", half_written)
    with pytest.raises(InputError if isinstance(error, OSError) else type(error)) as caught:
        tokens().save(tmp_path / "a")
    if isinstance(error, OSError):
        assert "No space left on device; an existing file is left unchanged" in str(caught.value)
    assert (tmp_path / "a").read_bytes() == b"precious"
    assert names(tmp_path) == ["a"]


def test_finished_write_replaces_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    tokens().save(tmp_path / "a")
    assert load(tmp_path / "a").metadata["source"] == "a test"
    assert names(tmp_path) == ["a"]


def test_written_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"new")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("metadata", [{"a": {1, 2}}, {"a": float("nan")}, {"a": b"x"}, {"a": 1, 2: 3}], ids=str)
def test_metadata_that_json_cannot_hold_is_refused(tmp_path: Path, metadata: dict[Any, Any]) -> None:
    with pytest.raises(InputError, match="metadata cannot be written as JSON"):
        VideoTokens.from_array(features((1, 1, 1, 4)), metadata=metadata).save(tmp_path / "a")
    assert names(tmp_path) == []


@pytest.mark.parametrize("dtype", [np.uint16, np.complex64, object, "U3", ">f4"])
def test_dtypes_a_dump_cannot_hold_are_refused(tmp_path: Path, dtype: Any) -> None:
    with pytest.raises(InputError, match=r"tensor 'mine' has dtype .*, which a dump cannot hold"):
        save_query(tmp_path / "a", {"mine": np.zeros(3, dtype)})
    assert names(tmp_path) == []


def test_signals_named_like_the_tensors_of_every_dump_are_refused(tmp_path: Path) -> None:
    for name in tensors():
        clash = VideoTokens.from_array(features((1, 1, 1, 4)), signals={name: np.zeros(3)})
        with pytest.raises(
            InputError, match=f"signal '{name}' has the name of a tensor that every dump holds; rename it"
        ):
            clash.save(tmp_path / "a")
    assert names(tmp_path) == []
