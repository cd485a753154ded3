"""Reading features where they lie: float16 widened exactly on any CPU, and no copy of the features made."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from feature_zoo import DTYPES, ROW_LAYOUTS, SCATTERED_LAYOUTS, features

from stgraph import VideoTokens, build_graph, selector
from stgraph.bench.synthetic import synthetic_tokens
from stgraph.kernels.cpu.centrality import group_centrality
from stgraph.kernels.cpu.components import group_members
from stgraph.kernels.cpu.rows import widen

Array = np.ndarray[Any, Any]
ALL_PATTERNS = np.arange(2**16, dtype=np.uint16)


@numba.njit
def widen_all(stored, out):  # type: ignore[no-untyped-def]
    for i in range(stored.size):
        out[i] = widen(stored[i])


def check_widening(half: np.dtype[Any], stored_as: type) -> None:
    """Every bit pattern becomes the float32 of the same value: exact bits, but for the payload of a NaN."""
    out = np.empty(ALL_PATTERNS.size, np.float32)
    widen_all(ALL_PATTERNS.view(stored_as), out)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        expected = ALL_PATTERNS.view(half).astype(np.float32)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(expected))
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(out[numbers].view(np.uint32), expected[numbers].view(np.uint32))


def test_float16_is_widened_exactly() -> None:
    check_widening(np.dtype(np.float16), np.uint16)


def test_bfloat16_is_widened_exactly() -> None:
    check_widening(DTYPES[2], np.int16)


@pytest.mark.skipif(platform.machine().lower() in ("aarch64", "arm64"), reason="every such CPU widens in hardware")
def test_float16_is_widened_exactly_without_hardware(tmp_path: Path) -> None:
    code = (
        "from stgraph.kernels.cpu.rows import HARDWARE_HALF\n"
        "from test_kernels_rows import test_float16_is_widened_exactly as check\n"
        "assert not HARDWARE_HALF\n"
        "check()\n"
        "print('done')"
    )
    environment = os.environ | {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(
            path for path in (str(Path(__file__).parent), str(Path(__file__).parents[1] / "support"), *sys.path) if path
        ),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"


def peak_memory(task: Any, *arguments: Any) -> int:
    """Bytes allocated at the worst moment of ``task``, compilation set aside by a first run."""
    task(*arguments)
    gc.collect()
    tracemalloc.start()
    try:
        task(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


LAYOUTS = {"contiguous", "reversed", "every second token", "channels first"}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_building_a_graph_copies_no_features(dtype: np.dtype[Any], layout: str) -> None:
    change = (ROW_LAYOUTS | SCATTERED_LAYOUTS)[layout]
    tokens = VideoTokens.from_array(change(features((3, 7, 8, 3584), dtype)))
    peak = peak_memory(lambda: build_graph(tokens).edges)
    assert peak < 0.1 * tokens.features.nbytes


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_centrality_copies_no_features(dtype: np.dtype[Any]) -> None:
    tokens = VideoTokens.from_array(features((3, 7, 8, 3584), dtype))
    norms = build_graph(tokens).norms
    members, starts = group_members(np.repeat(np.arange(2, dtype=np.int32), 84), 2)
    peak = peak_memory(group_centrality, tokens.lattice, norms, members, starts)
    assert peak < 0.1 * tokens.features.nbytes


def test_a_selection_takes_at_most_60_bytes_a_token() -> None:
    tokens = VideoTokens.from_array(synthetic_tokens(60, 16, 16, 16))
    assert peak_memory(selector("st-simdiff", retain_ratio=0.3).select, tokens) <= 60 * tokens.grid.n_tokens
