"""Running the command line from a test."""

from __future__ import annotations

import json
import subprocess
import sys
from math import inf
from typing import Any
from unittest.mock import patch

from typer.testing import CliRunner

from stgraph.cli import app, options

FEW = ("-b", "lattice-components", "-b", "igraph-leiden", "-r", "0.3", "--seed", "0:1:1")


def run(*args: str) -> str:
    """What a command that succeeds prints to stdout."""
    with patch.object(options, "_MINUTE", inf):  # no line per minute, however slow the machine
        done = CliRunner().invoke(app, list(args), prog_name="stgraph")
    assert done.exit_code == 0, done.output
    assert done.output == done.stdout  # nothing on stderr
    return done.stdout


def flat(text: str) -> str:
    """The text without any white space: long paths are folded where the terminal ends."""
    return "".join(text.split())


def strict_json(text: str) -> Any:
    """JSON as the standard has it: no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def python_m(*args: str, **options: Any) -> subprocess.Popen[str]:
    """``python -m stgraph`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "stgraph", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **options,
    )
