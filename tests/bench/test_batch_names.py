"""Results lie where they should, whatever an input is called."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgraph.bench.batch.names import readable, result_name

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}-[0-9a-f]{16}\Z")
HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "",
    ".",
    "..",
    "/",
    "a/../../b",
    "nul\0byte",
    "\0",
    "x" * 5000,
    "東京/映像.mp4",
    "e\u0301.mp4",
    "é.mp4",
    "-rf",
    "--output=/tmp/x",
    "line\nbreak",
    "a b\tc",
    "__init__",
    "_-_",
    "CON",
    "nul.safetensors",
    "C:\\windows\\system32",
    "\\\\server\\share",
    "a:stream",
    "\udc80\udcff.mp4",
    "\ud800",
    "$(touch x)",
    ".hidden",
    "*?<>|",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_hostile_names(path: str, tmp_path: Path) -> None:
    name = result_name(path)
    assert SAFE.match(name)
    assert os.path.realpath(tmp_path / name) == os.path.join(os.path.realpath(tmp_path), name)


def test_different_inputs_have_different_names() -> None:
    paths = ["/a/clip.mp4", "/b/clip.mp4", "/a/Clip.mp4", "/a/clip.MP4", "/a/clip.mkv", "/a/clip", "/é", "/e\u0301"]
    names = [result_name(path).lower() for path in paths]
    assert len(set(names)) == len(paths)


@given(st.text(st.characters()), st.text(st.characters()))
def test_names_are_safe_and_tell_inputs_apart(one: str, other: str) -> None:
    a, b = result_name("/in/" + one), result_name("/in/" + other)
    assert SAFE.match(a)
    assert SAFE.match(b)
    alike = "\0" not in one + other and os.path.normpath("/in/" + one) == os.path.normpath("/in/" + other)
    if one == other or alike:
        assert a == b
    else:
        assert a != b
    readable(one).encode("utf-8")


def test_one_file_named_in_two_ways_is_one_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert result_name("a.mp4") == result_name("./a.mp4") == result_name(str(tmp_path / "x" / ".." / "a.mp4"))


def test_names_stay_what_they_are() -> None:
    """Results of an earlier release must be found again."""
    assert result_name("/videos/a b.safetensors") == "a_b-b4ad57fda422d7b8"
