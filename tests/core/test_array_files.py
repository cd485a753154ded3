"""Arrays of features in files of others: read where the axes are clear, else refused with the line that reads them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import stgraph
from stgraph import VideoTokens
from stgraph.cli import app
from stgraph.errors import DumpFormatError, FeatureError

X = np.random.default_rng(0).standard_normal((2, 3, 4, 8)).astype(np.float32)


def written(path: Path, x: np.ndarray[Any, Any], name: str = "features") -> Path:
    """An array as a file of the suffix."""
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".npz":
        np.savez(path, **{name: x})
    elif path.suffix == ".safetensors":
        pytest.importorskip("safetensors.numpy").save_file({name: x}, path)
    else:
        torch = pytest.importorskip("torch")
        torch.save({name: torch.from_numpy(x)}, path)
    return path


FILES = ("a.npy", "a.npz", "a.safetensors", "a.pt")


@pytest.mark.parametrize("file", FILES)
def test_a_clear_array_is_read(tmp_path: Path, file: str) -> None:
    found = stgraph.load(written(tmp_path / file, X))
    assert found.grid.shape == (2, 3, 4)
    assert np.array_equal(found.lattice, X)
    assert found.metadata["source"] == file
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / file), "--format", "json"])
    assert json.loads(done.stdout)["grid"] == [2, 3, 4]


def test_a_tensor_by_itself_and_a_single_array_under_any_name(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(torch.from_numpy(X).bfloat16(), tmp_path / "a.pt")
    assert stgraph.load(tmp_path / "a.pt").dtype == "bfloat16"
    assert stgraph.load(written(tmp_path / "b.npz", X, "hidden")).grid.shape == (2, 3, 4)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("x", "remedy"),
    [
        (X.reshape(2, 12, 8), ", grid=(H, W))"),
        (X.reshape(24, 8), ", grid=(T, H, W))"),
        (np.zeros((2, 64, 4, 4), np.float32), ".transpose(0, 2, 3, 1))"),
        (np.zeros((2, 8, 8, 3), np.float32), ")"),
    ],
)
def test_an_unclear_array_is_refused_with_the_line_that_reads_it(
    tmp_path: Path, file: str, x: np.ndarray[Any, Any], remedy: str
) -> None:
    path = written(tmp_path / file, x)
    with pytest.raises(FeatureError, match="is not clear") as raised:
        stgraph.load(path)
    assert remedy + ".save(" in str(raised.value)
    assert "VideoTokens.from_array(" in str(raised.value)


def test_the_line_of_a_remedy_works(tmp_path: Path) -> None:
    path = written(tmp_path / "a.npz", X.reshape(2, 12, 8))
    with pytest.raises(FeatureError) as raised:
        stgraph.load(path)
    line = str(raised.value).partition("read the dump: ")[2].replace("(H, W)", "(3, 4)")
    exec(line, {"VideoTokens": VideoTokens, "np": np})
    assert stgraph.load(tmp_path / "a.dump.safetensors").grid.shape == (2, 3, 4)


def test_pickled_objects_are_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "boom"),))

    np.save(tmp_path / "a.npy", np.array([Bomb()], object), allow_pickle=True)
    torch = pytest.importorskip("torch")
    torch.save({"features": Bomb()}, tmp_path / "a.pt")
    for name in ("a.npy", "a.pt"):
        with pytest.raises(DumpFormatError, match="holds objects that are not plain arrays"):
            stgraph.load(tmp_path / name)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("file", FILES)
def test_every_truncation_of_an_array_is_refused(tmp_path: Path, file: str) -> None:
    path = written(tmp_path / file, X)
    whole = path.read_bytes()
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        with pytest.raises((DumpFormatError, FeatureError)):
            np.asarray(stgraph.load(path))
