"""The thread pool: where its size comes from, concurrent callers, and forked children."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from feature_zoo import features

from stgraph import VideoTokens, build_graph, num_threads, set_num_threads
from stgraph.errors import InputError
from stgraph.kernels.cpu import threads
from stgraph.kernels.cpu.components import group_blocks
from stgraph.kernels.cpu.threads import even_blocks, run_blocks


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restores the number of threads."""
    before = num_threads()
    yield
    set_num_threads(before)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2", None])
def test_impossible_numbers_of_threads_are_refused(n: Any) -> None:
    with pytest.raises(InputError, match=f"number of threads is {n!r}; it must be a positive integer"):
        set_num_threads(n)


def test_number_of_threads_is_remembered() -> None:
    set_num_threads(7)
    assert num_threads() == 7


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "²"])
def test_bad_environment_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(threads, "_n_threads", None)
    monkeypatch.setenv("STGRAPH_NUM_THREADS", text)
    with pytest.raises(InputError, match=f"STGRAPH_NUM_THREADS is '{text}'; it must be a positive integer"):
        num_threads()


@pytest.mark.parametrize(("text", "expected"), [("3", 3), ("", None), (None, None)])
def test_environment_sets_the_number(monkeypatch: pytest.MonkeyPatch, text: str | None, expected: int | None) -> None:
    monkeypatch.setattr(threads, "_n_threads", None)
    if text is None:
        monkeypatch.delenv("STGRAPH_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("STGRAPH_NUM_THREADS", text)
    assert num_threads() == (expected or threads._available_cpus())
    assert threads._available_cpus() >= 1


@pytest.mark.parametrize("n", [1, 4])
def test_results_come_in_the_order_of_the_blocks(n: int) -> None:
    set_num_threads(n)
    assert run_blocks(lambda i: i * i, range(50)) == [i * i for i in range(50)]
    assert run_blocks(lambda i: i, []) == []


@pytest.mark.parametrize("n", [1, 4])
def test_an_exception_in_a_block_reaches_the_caller(n: int) -> None:
    set_num_threads(n)
    with pytest.raises(ZeroDivisionError):
        run_blocks(lambda i: 1 // i, [1, 0, 2])


@pytest.mark.parametrize(("n", "size"), [(0, 3), (1, 3), (3, 3), (7, 3), (9, 3)])
def test_even_blocks_cover_the_range(n: int, size: int) -> None:
    blocks = even_blocks(n, size)
    assert [i for a, b in blocks for i in range(a, b)] == list(range(n))
    assert all(b - a == size for a, b in blocks[:-1])


def test_concurrent_callers_get_their_own_results() -> None:
    set_num_threads(3)
    videos = [VideoTokens.from_array(features((4, 5, 6, 32), seed=seed)) for seed in range(12)]
    alone = [build_graph(video).similarity.tobytes() for video in videos]
    with ThreadPoolExecutor(4) as callers:
        together = list(callers.map(lambda video: build_graph(video).similarity.tobytes(), videos * 3))
    assert together == alone * 3


def test_the_number_may_be_set_while_blocks_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    set_num_threads(3)
    numbers = iter([3, 1])  # read by the caller, and then, set by another thread meanwhile, for the new pool
    monkeypatch.setattr(threads, "num_threads", lambda: next(numbers))
    assert run_blocks(lambda i: i * i, range(7)) == [i * i for i in range(7)]


AT_THE_END = """
import threading, stgraph
from stgraph.kernels.cpu.threads import run_blocks
stgraph.set_num_threads(3)

def work():
    threading.main_thread().join()
    print(run_blocks(abs, range(-3, 0)))

threading.Thread(target=work).start()
"""


def test_a_thread_that_outlives_the_main_one_can_compute() -> None:
    done = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[3, 2, 1]\n", "")


FORK = """
import os, warnings, numpy, stgraph
warnings.simplefilter("ignore")  # Python 3.12 warns of any fork beside threads, which is the point here
stgraph.set_num_threads(3)
tokens = stgraph.VideoTokens.from_array(numpy.random.default_rng(0).standard_normal((8, 5, 6, 16), "float32"))
before = stgraph.build_graph(tokens).similarity.tobytes()
child = os.fork()
if child == 0:
    os._exit(0 if stgraph.build_graph(tokens).similarity.tobytes() == before else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_can_compute() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_caller_works_too_and_waits_for_no_thread_that_comes_too_late() -> None:
    set_num_threads(2)
    run_blocks(abs, range(2))  # starts the pool
    occupied, free = threading.Event(), threading.Event()

    def occupy() -> None:
        occupied.set()
        free.wait(60)

    busy = threads._helpers().submit(occupy)
    assert occupied.wait(60)
    by = run_blocks(lambda _: threading.current_thread(), range(8))  # would wait for ever for the occupied thread
    free.set()
    busy.result(60)
    assert set(by) == {threading.current_thread()}


def test_blocks_left_after_an_exception_are_dropped() -> None:
    set_num_threads(4)
    seen: list[int] = []

    def task(i: int) -> None:
        seen.append(i)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_blocks(task, range(1000))
    assert len(seen) <= 4


def test_light_work_of_few_members_is_not_shared_out() -> None:
    set_num_threads(4)
    starts = np.arange(0, 12_001, 100)
    assert group_blocks(starts, light=True) == [(0, 120)]
    assert len(group_blocks(starts)) > 4 and len(group_blocks(10 * starts, light=True)) > 4
