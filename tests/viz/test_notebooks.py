"""The notebooks of the documentation run from top to bottom, and what is stored in them is what they show."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# In a process of its own: a kernel's client has an event loop and warnings of its own.
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read(sys.argv[1], 4)
NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": sys.argv[3]}}).execute()
nbformat.write(book, sys.argv[2])
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not NOTEBOOKS, reason="docs/notebooks is not here: not a checkout"),
    *(
        pytest.mark.skipif(find_spec(name) is None, reason=f"needs a notebook runner: {name} is not installed")
        for name in ("nbclient", "ipykernel", "matplotlib")
    ),
]


def shown(notebook: Path) -> list[tuple[str, Any]]:
    """(kind, text) of every output; the text of what no library's version decides, with floats of three digits."""
    found: list[tuple[str, Any]] = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for kind, text in in_whole_streams(cell.get("outputs", ())):
            own = not re.search("igraph|agree|share|kept", text)
            plain = re.sub(r"\d+\.\d+", lambda m: f"{float(m[0]):.3f}", text)
            found.append((kind, plain if own else None))
    return found


def in_whole_streams(outputs: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """(kind, text) of the outputs of one cell. What is printed arrives in as many parts as the kernel sends."""
    found: list[tuple[str, str]] = []
    for output in outputs:
        data = output.get("data", {})
        text = "".join(data.get("text/plain") or output.get("text", ""))
        kind = " ".join(sorted(data) or [output["output_type"]])
        if kind == "stream" and found and found[-1][0] == kind:
            text = found.pop()[1] + text
        found.append((kind, text))
    return found


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    target = tmp_path / notebook.name
    command = [sys.executable, "-c", EXECUTE, str(notebook), str(target), str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert shown(target) == shown(notebook)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_credits_its_pictures(notebook: Path) -> None:
    text = notebook.read_text(encoding="utf-8")
    assert len(text) < 600_000
    if "stgraph.sample()" in text:
        assert "Blender Foundation" in text
        assert "CC BY 3.0" in text
    assert str(Path.home()) not in text
