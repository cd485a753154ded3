"""Every Triton kernel compiles to machine code; Triton brings the assembler along, and no GPU is needed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "stgraph" / "kernels" / "gpu"


def launched() -> set[str]:
    """Names of the kernels that are launched: ``launch(name, ...)``, or through ``_filled(name, ...)``."""
    found = set()
    for path in KERNELS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("launch", "_filled"):
                assert isinstance(node.args[0], ast.Name)
                found.add(node.args[0].id)
    return found - {"kernel"}  # what _filled hands on


@pytest.mark.slow
def test_kernels_compile(tmp_path: Path) -> None:
    for package in ("torch", "triton"):
        pytest.importorskip(package, reason=f"compiling the GPU engine needs {package}")
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("TRITON_INTERPRET", None)
    script = ROOT / "tests" / "support" / "compile_gpu_kernels.py"
    command = [sys.executable, "-W", "error::UserWarning", str(script), "90"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    sizes = json.loads(done.stdout.splitlines()[-1])
    assert set(sizes) == launched() != set()
    assert min(sizes.values()) > 0
