"""Selectors beside their authors' code, run from a folder: here a stand-in with the same entry point."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs torch: pip install -e '.[hf]'")

from stgraph.bench.speed.peer_code import PEERS, measure_peer_code
from stgraph.bench.speed.stages import Case
from stgraph.cli import app
from stgraph.errors import InputError, UnavailableError, UnknownNameError

SMALL = Case(4, 4, 4, 16)
MODULE = "token_compressor/vidcom2/vidcom2.py"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("token_compressor")]:
        monkeypatch.delitem(sys.modules, name)


def checkout(folder: Path, code: str) -> Path:
    path = folder / MODULE
    path.parent.mkdir(parents=True)
    path.write_text(code)
    return folder


def test_ours_and_theirs_in_one_run(tmp_path: Path) -> None:
    code = "def vidcom2_compression(x, model, base_scale, frame_token_len):\n    return x[: int(base_scale * len(x))]\n"
    ours, theirs = measure_peer_code({"vidcom2": checkout(tmp_path, code)}, SMALL, 1)
    assert (ours["by"], theirs["by"]) == ("stgraph", PEERS["vidcom2"].repository)
    assert theirs["n_kept"] == int(0.3 * SMALL.T * SMALL.H * SMALL.W)
    assert ours["seconds"] > 0 and theirs["seconds"] > 0
    assert str(tmp_path) not in sys.path


def test_a_peer_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no peer is called 'evs'; known are framefusion, sttm, vidcom2"):
        measure_peer_code({"evs": tmp_path}, SMALL, 1)


def test_a_folder_without_the_code(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not hold token_compressor/.*: pass a checkout of xuyang"):
        measure_peer_code({"vidcom2": tmp_path}, SMALL, 1)


def test_code_that_lacks_a_package(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="No module named 'package_nobody_has'"):
        measure_peer_code({"vidcom2": checkout(tmp_path, "import package_nobody_has\n")}, SMALL, 1)


@pytest.mark.parametrize("given", ["vidcom2", "vidcom2=", "=folder"])
def test_the_option_names_its_form(given: str) -> None:
    result = CliRunner().invoke(app, ["bench", "--peer", given])
    assert isinstance(result.exception, InputError) and "expected name=folder" in str(result.exception)
