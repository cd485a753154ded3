"""What a type checker of a user sees: each selector by its name, results with their methods, and misspellings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

USER = """
import numpy as np
import stgraph

tokens = stgraph.VideoTokens.from_array(np.ones((2, 12, 8), np.float32), grid=(3, 4))
chosen = stgraph.selector("st-simdiff", retain_ratio=0.3, backend="igraph-leiden")
reveal_type(chosen)
reveal_type(stgraph.selector("srts", n_keep=3))
reveal_type(stgraph.selector("st-simdiff-attention", retain_ratio=0.5))
reveal_type(stgraph.selector("evs", retain_ratio=0.5))
analysis = chosen.analyse(tokens)
reveal_type(analysis.partition)
kept = chosen.select_from(analysis)
reveal_type(kept)
for node in kept:
    reveal_type(node)
for members in analysis.partition:
    print(len(members))
for source, target, weight in analysis.graph.edges:
    reveal_type(weight)
any_selector = stgraph.selector("evs", retain_ratio=0.5)
reveal_type(any_selector.select(tokens))
reveal_type(any_selector.requires)
def use(one: "stgraph.selection.base.Selector") -> None: ...
use(chosen)
use(any_selector)
edges = stgraph.EdgeList.from_arrays(3, [0, 1], [1, 2])
reveal_type(stgraph.detect_communities(edges))
reveal_type(stgraph.Partition.load("parts.safetensors"))
reveal_type(stgraph.Selection.load("kept.safetensors"))
reveal_type(stgraph.from_video("clip.mp4", frames=8))
reveal_type(np.asarray(kept))
"""
SEEN = [
    "StSimDiff",
    "StSimDiff",
    "StSimDiff",
    "Selector",
    "Partition",
    "Selection",
    "int",
    "float",
    "Selection",
    "frozenset[str]",
    "Partition",
    "Partition",
    "Selection",
    "VideoTokens",
    "ndarray[tuple[Any, ...], dtype[Any]]",
]
WRONG = """
import stgraph

stgraph.selector("evs", retain_ratio=0.5).analyse(stgraph.sample())
stgraph.sample().featurs
stgraph.build_grph
stgraph.selector("st-simdiff", retain_ratio="0.3")
"""


def checked(text: str, path: Path) -> list[str]:
    """What mypy --strict says of a user's file, in order."""
    pytest.importorskip("mypy", reason="needs mypy")
    path.write_text("import stgraph.selection.base\n" + text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "MYPYPATH": str(ROOT)}, check=False
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_types_of_a_users_file(tmp_path: Path) -> None:
    lines = checked(USER, tmp_path / "user.py")
    assert [line for line in lines if "error:" in line] == []
    revealed = [re.sub(r"\b(?:\w+\.)+", "", line.split('"')[1]) for line in lines if "Revealed type" in line]
    assert revealed == SEEN


@pytest.mark.slow
def test_misuse_is_seen(tmp_path: Path) -> None:
    errors = [line for line in checked(WRONG, tmp_path / "wrong.py") if "error:" in line]
    assert len(errors) == 4
    for error, said in zip(errors, ("analyse", "featurs", "build_grph", "retain_ratio|overload"), strict=True):
        assert re.search(said, error)
