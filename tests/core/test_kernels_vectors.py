"""Loops in explicit vectors: every length, and nothing read beyond a row, with wide vectors and on the plainest CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from feature_zoo import DTYPES

from stgraph.kernels.cpu.vectors import LANES, add_products, add_scaled, neighbour_sums

Array = np.ndarray[Any, Any]
LENGTHS = (1, 7, 15, 16, 17, 31, 33, 100, 1000)


@numba.njit
def neighbours(flat, rows, ahead, n):  # type: ignore[no-untyped-def]
    return neighbour_sums(flat, rows, ahead, n)


@numba.njit
def both_looks(flat, offsets, first, n, scales, total, sums):  # type: ignore[no-untyped-def]
    add_scaled(flat, offsets, 0, first, n, scales, total)
    add_products(flat, offsets, 0, first, n, total, sums, None, 0)
    add_products(flat, offsets, 0, first, n, total, sums, offsets[8:], first)


def rows_amid_nan(n_rows: int, n: int, dtype: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """Rows of n numbers with a NaN on either side of each, flat and as stored; their offsets; and in float64."""
    x = np.full((n_rows, n + 2), np.nan, dtype)
    x[:, 1:-1] = np.random.default_rng(n).normal(size=(n_rows, n)).astype(dtype)
    stored = x.reshape(-1)
    if dtype != np.float32:
        stored = stored.view(np.uint16 if dtype == np.float16 else np.int16)
    return stored, 1 + np.arange(n_rows) * (n + 2), x[:, 1:-1].astype(np.float64)


def check(dtype: np.dtype[Any]) -> None:
    for n in LENGTHS:
        flat, at, rows = rows_amid_nan(7, n, dtype)
        p, q, p_left, q_left, p_up, q_up, before = rows
        found = neighbours(flat, tuple(int(i) for i in at), (int(at[0]), int(at[1])), n)
        expected = [p @ p, p @ p_left, p @ p_up, p @ before, q @ q, q @ q_left, q @ q_up, q @ p]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * n)
        flat, at, rows = rows_amid_nan(16, n, dtype)
        scales = np.arange(1, 9, dtype=np.float32)
        total, sums = np.zeros(n + LANES, np.float32), np.ones(8)
        both_looks(flat, at, 0, n, scales, total, sums)
        whole = scales @ rows[:8]
        np.testing.assert_allclose(total, np.append(whole, np.zeros(LANES)), rtol=0, atol=1e-4)
        np.testing.assert_allclose(sums, 1 + 2 * (rows[:8] @ whole), rtol=0, atol=2e-4 * n)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_vectors(dtype: np.dtype[Any]) -> None:
    check(dtype)


def test_vectors_of_the_plainest_cpu(tmp_path: Path) -> None:
    code = (
        "from feature_zoo import DTYPES\n"
        "from test_kernels_vectors import LANES, check\n"
        "assert LANES == 8\n"
        "for dtype in DTYPES: check(dtype)\n"
        "print('done')"
    )
    paths = (str(Path(__file__).parent), str(Path(__file__).parents[1] / "support"), *sys.path)
    environment = os.environ | {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
