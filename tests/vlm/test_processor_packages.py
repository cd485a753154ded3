"""What a processor of transformers needs beside transformers is named where it is missing, or does not load."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stgraph.errors import MissingDependencyError, UnavailableError
from stgraph.vlm.checkpoint import _without_pictures as reason

UNTOLD = ModuleNotFoundError("Could not import module 'AutoProcessor'. Are this object's requirements defined?")


@pytest.fixture(autouse=True)
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two empty packages; a test takes one away, or breaks it."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("torchvision", "PIL")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("torchvision", "PIL"):
        (tmp_path / f"{name}.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("torchvision", "PIL"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("module", "package"), [("torchvision", "torchvision"), ("PIL", "pillow")])
def test_a_missing_package_is_named(module: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    error = reason("the processor of x", UNTOLD)
    assert isinstance(error, MissingDependencyError)
    assert f"{package!r}, which is not installed. Install it with: pip install -e '.[hf]'" in str(error)


def test_a_torchvision_of_another_torch_is_named(both: Path) -> None:
    (both / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    error = reason("the processor of x", UNTOLD)
    assert isinstance(error, UnavailableError)
    assert "torchvision, which does not load here (operator torchvision::nms does not exist): torch and" in str(error)


def test_any_other_reason_stays_as_it_is() -> None:
    assert reason("the processor of x", UNTOLD) is UNTOLD
