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

from stgraph.kernels.cpu.vector_loops import LANES
from stgraph.kernels.cpu.vectors import add_products, add_scaled, neighbour_sums

Array = np.ndarray[Any, Any]
LENGTHS = (1, 7, 15, 16, 17, 31, 33, 100, 1000)


@numba.njit
def neighbours(flat, rows, ahead, n, lead, out, places):  # type: ignore[no-untyped-def]
    neighbour_sums(flat, rows, ahead, n, lead, out, places)


@numba.njit
def both_looks(flat, offsets, first, n, lead, scales, total, sums):  # type: ignore[no-untyped-def]
    add_scaled(flat, offsets, 0, first, n, lead, scales, total)
    add_products(flat, offsets, 0, first, n, lead, total, sums, None, 0)
    add_products(flat, offsets, 0, first, n, lead, total, sums, offsets[8:], first)


def rows_amid_nan(n_rows: int, n: int, dtype: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """Rows of n numbers with NaN on either side of each, flat and as stored; their offsets; and in float64."""
    x = np.full((n_rows, n + 2 * LANES), np.nan, dtype)
    x[:, LANES:-LANES] = np.random.default_rng(n).normal(size=(n_rows, n)).astype(dtype)
    stored = x.reshape(-1)
    if dtype != np.float32:
        stored = stored.view(np.uint16 if dtype == np.float16 else np.int16)
    return stored, LANES + np.arange(n_rows) * x.shape[1], x[:, LANES:-LANES].astype(np.float64)


def check(dtype: np.dtype[Any]) -> None:
    for n in LENGTHS:
        seen = set()
        for lead in (0, 1, 5, LANES - 1):
            seen.add(check_products(dtype, n, lead) + check_looks(dtype, n, lead))
        assert len(seen) == 1  # where vectors start changes no bit


def check_products(dtype: np.dtype[Any], n: int, lead: int) -> bytes:
    flat, at, rows = rows_amid_nan(12, n, dtype)
    found = np.zeros(18, np.float32)
    starts = [int(i) for i in at]
    # One column: p, q, left of each, above each, before p.
    neighbours(flat, tuple(starts[:7]), (starts[0], starts[1]), n, lead, found, (1, 9))
    p, q, p_left, q_left, p_up, q_up, before = rows[:7]
    expected = [0, p @ p, p @ p_left, p @ p_up, p @ before, 0, 0, 0, 0, q @ q, q @ q_left, q @ q_up, q @ p, 0]
    np.testing.assert_allclose(found[:14], expected, rtol=0, atol=1e-5 * n)
    if LANES < 16:
        return found.tobytes()
    # Two columns: the first two p, the two q, then as above in pairs. What is written last stays.
    two = np.zeros(16, np.float32)
    neighbours(flat, tuple(starts), tuple(starts[:4]), n, lead, two, (0, 4, 8, 12))
    p, p2, q, q2, p_left, q_left, p_up, p2_up, q_up, q2_up, before, before2 = rows
    pairs = [(p, p), (p, p_left), (p, p_up), (p, before), (q, q), (q, q_left), (q, q_up), (q, p)]
    pairs += [(p2, p2), (p2, p), (p2, p2_up), (p2, before2), (q2, q2), (q2, q), (q2, q2_up), (q2, p2)]
    np.testing.assert_allclose(two, [a @ b for a, b in pairs], rtol=0, atol=1e-5 * n)
    one = np.zeros(4, np.float32)
    neighbours(flat, tuple(starts), tuple(starts[:4]), n, lead, one, (0, 0, 0, 0))
    np.testing.assert_array_equal(one, two[:4])
    return found.tobytes() + two.tobytes()


def check_looks(dtype: np.dtype[Any], n: int, lead: int) -> bytes:
    flat, at, rows = rows_amid_nan(16, n, dtype)
    scales = np.arange(1, 9, dtype=np.float32)
    room, sums = np.zeros(n + 2 * LANES, np.float32), np.ones(8)
    both_looks(flat, at, 0, n, lead, scales, room[LANES:], sums)
    whole = scales @ rows[:8]
    np.testing.assert_allclose(room, np.pad(whole, LANES), rtol=0, atol=1e-4)
    np.testing.assert_allclose(sums, 1 + 2 * (rows[:8] @ whole), rtol=0, atol=2e-4 * n)
    return room.tobytes() + sums.tobytes()


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
