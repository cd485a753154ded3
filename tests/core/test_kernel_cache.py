"""Compiled kernels where neither the installed package nor the home can be written, and on a full disk."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import numba
import numpy as np
import pytest

import stgraph
from stgraph.kernels.cpu import compiled as module
from stgraph.kernels.cpu.compiled import cache_folder, compiled

SELECT = """
import logging, sys, stgraph
logging.basicConfig(format="%(name)s %(levelname)s %(message)s", stream=sys.stdout)
from stgraph.kernels.cpu.components import connected_components
import numpy as np
print(connected_components(3, np.array([0], np.int32), np.array([2], np.int32))[0].tolist())
from stgraph.kernels.cpu.compiled import cache_folder
print(cache_folder())
"""

SEGMENTS = """
from stgraph.kernels.cpu.segments import segment_labels
import numpy as np
print(segment_labels(2, np.array([0], np.int32), np.array([1], np.int32), np.ones(1, np.float32), 1.0).tolist())
"""


@pytest.fixture(scope="module")
def unwritable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package beside whose kernels nothing can be cached, not even by root."""
    site = tmp_path_factory.mktemp("site")
    source = Path(stgraph.__file__).parent
    copytree(source, site / "stgraph", ignore=ignore_patterns("__pycache__", "results", "data", "assets"))
    for folder in {path.parent for path in (site / "stgraph").rglob("*.py")}:
        (folder / "__pycache__").write_text("in the way of a folder")
    return site


def run_at(site: Path, *args: str, temporary: Path | str) -> tuple[list[str], str]:
    """Lines of stdout, and stderr, of Python with a home that cannot be written."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG", "PYTHON"))}
    env |= {"HOME": "/dev/null/home", "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(temporary)}
    done = subprocess.run([sys.executable, *args], env=env, cwd=site, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


@pytest.mark.slow
def test_a_read_only_install_with_a_home_that_cannot_be_written(unwritable: Path, tmp_path: Path) -> None:
    folder = tmp_path / f"stgraph-kernels-{os.getuid()}"
    for _ in range(2):
        (told, labels, where), _ = run_at(unwritable, "-c", SELECT, temporary=tmp_path)
        assert told.startswith(f"stgraph WARNING compiled kernels are cached in {folder}, as neither")
        assert labels == "[0, 1, 0]"
        assert where.startswith(str(folder))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("components.*.nbc"))


@pytest.mark.slow
def test_with_nowhere_to_write_nothing_is_cached(unwritable: Path, tmp_path: Path) -> None:
    folder = tmp_path / f"stgraph-kernels-{os.getuid()}"
    folder.write_text("somebody was here first")
    (told, labels, where), _ = run_at(unwritable, "-c", SELECT, temporary=tmp_path)
    assert told.startswith("stgraph WARNING compiled kernels are not cached: no folder for them can be written")
    assert (labels, where) == ("[0, 1, 0]", "None")


@pytest.mark.slow
def test_doctor_shows_where_the_cache_is(unwritable: Path, tmp_path: Path) -> None:
    lines, errors = run_at(unwritable, "-m", "stgraph", "doctor", temporary=tmp_path)
    folder = tmp_path / f"stgraph-kernels-{os.getuid()}"
    assert any(line.startswith(f"Compiled kernels are cached in {folder}") for line in lines)
    assert errors.count("compiled kernels are cached in") == 1


@pytest.mark.slow
def test_a_kernel_follows_the_functions_it_calls(tmp_path: Path) -> None:
    site = tmp_path / "site"
    copytree(
        Path(stgraph.__file__).parent,
        site / "stgraph",
        ignore=ignore_patterns("__pycache__", "results", "data", "assets"),
    )
    assert run_at(site, "-c", SEGMENTS, temporary=tmp_path)[0] == ["[0, 0]"]
    source = site / "stgraph" / "kernels" / "cpu" / "components.py"  # numbers the labels for segments.py
    text = source.read_text(encoding="utf-8")
    assert text.count("labels[i] = count\n            count += 1\n        else") == 1
    source.write_text(text.replace("labels[i] = count\n", "labels[i] = 7\n", 1), encoding="utf-8")
    assert run_at(site, "-c", SEGMENTS, temporary=tmp_path)[0] == ["[7, 7]"]


def test_every_kernel_is_compiled_in_one_way() -> None:
    for file in Path(module.__file__).parent.glob("*.py"):
        assert "njit" not in file.read_text(encoding="utf-8") or file.name == "compiled.py"


# In this process


@pytest.fixture
def no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """numba finds no folder; that for temporary files is ``tmp_path``."""
    for locator in ("_InTreeCacheLocator", "_UserWideCacheLocator", "InTreeCacheLocator", "UserWideCacheLocator"):
        found = getattr(numba.core.caching, locator, None)
        if found is not None:
            monkeypatch.setattr(found, "from_function", classmethod(lambda cls, py_func, py_file: None))
    monkeypatch.setattr(numba.core.config, "CACHE_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(module, "_told", False)
    return tmp_path / f"stgraph-kernels-{os.getuid()}"


def test_the_fallback_is_told_once_and_changes_nothing_of_numba(
    no_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "stgraph"):
        first, second = compiled()(one_more), compiled()(one_more)
    assert (first(1), second(2)) == (2, 3)
    assert str(first.stats.cache_path).startswith(str(no_folder))
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        f"compiled kernels are cached in {no_folder}"
    ]
    assert numba.core.config.CACHE_DIR == ""


@pytest.mark.parametrize("planted", ["link", "open to others", "file"])
def test_a_folder_others_may_have_made_is_not_used(planted: str, no_folder: Path) -> None:
    other = no_folder.parent / "other"
    other.mkdir(mode=0o700)
    if planted == "link":
        no_folder.symlink_to(other)
    elif planted == "file":
        no_folder.touch()
    else:
        no_folder.mkdir()
        no_folder.chmod(0o777)
    assert cache_folder() is None
    assert compiled()(one_more)(1) == 2
    assert not list(other.iterdir())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("method", ["_save_overload", "_load_overload"])
def test_a_cache_that_fails_costs_time_and_not_the_call(
    method: str, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, "_told", False)
    monkeypatch.setattr(module._KernelCache, "_load_overload", lambda *_: None)  # an earlier run may have saved it
    monkeypatch.setattr(module._KernelCache, method, fail)
    function = compiled()(one_more)
    assert (function(1), function(np.float32(1))) == (2, 2.0)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("stgraph", "WARNING")
    assert os.strerror(code) in record.getMessage()


def one_more(x: Any) -> Any:
    return x + 1
