"""Cost of the first call: kernels compile once and are cached for later processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

_SCRIPT = """
from time import perf_counter
start = perf_counter()
import numpy as np, stgraph
tokens = stgraph.VideoTokens.from_array(np.random.default_rng(0).standard_normal((4, 8, 8, 64), dtype=np.float32))
chosen = stgraph.selector("st-simdiff", retain_ratio=0.3)
imported = perf_counter()
chosen.select(tokens)
first = perf_counter()
chosen.select(tokens)
print(imported - start, first - imported, perf_counter() - first)
"""


def first_call() -> list[dict[str, Any]]:
    """Rows: seconds of import, first and second selection, in a process with an empty and one with a warm cache."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for state in ("empty", "warm"):
            done = subprocess.run(
                [sys.executable, "-c", _SCRIPT],
                env={**os.environ, "NUMBA_CACHE_DIR": cache},
                capture_output=True,
                text=True,
                check=True,
            )
            imported, first, second = map(float, done.stdout.split())
            rows.append(
                {"cache": state, "import_s": imported, "first_selection_s": first, "second_selection_s": second}
            )
    return rows
