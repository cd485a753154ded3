"""networkit's map equation in a process of its own: how it starts, ends, and tells what went wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from zoo import lattice

from stgraph import detect_communities
from stgraph.community.networkit_process import NetworkitProcess

pytest.importorskip("networkit", reason="needs networkit")


def request(iterations: int = 32, **other: Any) -> dict[str, np.ndarray[Any, Any]]:
    edges = lattice((2, 4, 4))
    return {
        "src": edges.src.astype(np.uint64),
        "dst": edges.dst.astype(np.uint64),
        "weight": edges.weight.astype(np.float64),
        "numbers": np.array([edges.n_nodes, 0, iterations]),
        **other,
    }


@pytest.fixture
def process() -> Any:
    one = NetworkitProcess()
    yield one
    one._stop()


def test_one_process_answers_many_requests(process: NetworkitProcess) -> None:
    first = process.answer(request())["labels"]
    running = process._process
    np.testing.assert_array_equal(process.answer(request())["labels"], first)
    assert process._process is running
    assert running is not None
    assert process._stop() == 0
    assert running.returncode == 0


def test_a_failure_is_told_and_the_process_goes_on(process: NetworkitProcess) -> None:
    with pytest.raises(RuntimeError, match=r"^networkit failed: ValueError: "):
        process.answer(request(numbers=np.array([1, 2])))
    running = process._process
    assert process.answer(request())["labels"].shape == (32,)
    assert process._process is running


def test_a_process_that_ended_is_told_and_replaced(process: NetworkitProcess) -> None:
    process.answer(request())
    running = process._process
    assert running is not None
    os.kill(running.pid, signal.SIGSTOP)  # killed before it can answer
    read = running.stdout.read  # type: ignore[union-attr]

    def killed(size: int) -> bytes:
        running.kill()
        return read(size)

    running.stdout = type("Stream", (), {"read": staticmethod(killed), "close": running.stdout.close})()  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match=r"process ended while it worked \(exit status -9\)"):
        process.answer(request())
    assert process.answer(request())["labels"].shape == (32,)


def test_an_interrupt_leaves_no_half_read_answer(process: NetworkitProcess) -> None:
    first = process.answer(request())["labels"]
    running = process._process
    assert running is not None

    def interrupted(size: int) -> bytes:
        raise KeyboardInterrupt

    running.stdout = type("Stream", (), {"read": staticmethod(interrupted), "close": running.stdout.close})()  # type: ignore[union-attr]
    with pytest.raises(KeyboardInterrupt):
        process.answer(request(iterations=1))
    assert running.returncode is not None
    np.testing.assert_array_equal(process.answer(request())["labels"], first)


@pytest.mark.slow
def test_it_ends_with_its_caller_and_survives_a_fork() -> None:
    code = """
import os, stgraph
from stgraph.community.backend_networkit import NETWORKIT_MAP_EQUATION as engine
edges = stgraph.EdgeList.from_arrays(4, [0, 1, 2], [1, 2, 3])
def found():
    return stgraph.detect_communities(edges, engine.name).labels.tolist()
first = found()
if (child := os.fork()) == 0:
    os._exit(0 if found() == first else 1)
assert os.waitpid(child, 0)[1] == 0
assert found() == first
print(engine._process._process.pid)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_the_callers_path_is_the_process_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A networkit on the caller's path is the one that runs."""
    (tmp_path / "networkit.py").write_text("raise ImportError('this one')\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    one = NetworkitProcess()
    with pytest.raises(RuntimeError, match="networkit failed: ImportError: this one"):
        one.answer(request())
    one._stop()


def test_labels_are_those_of_the_backend(process: NetworkitProcess) -> None:
    found = detect_communities(lattice((2, 4, 4)), "networkit-map-equation", max_size=None)
    labels = process.answer(request())["labels"]
    assert len(set(zip(labels.tolist(), found.labels.tolist(), strict=True))) == found.n_communities
