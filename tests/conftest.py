"""What all tests share: GPU tests say what they lack, and the summary counts those that ran."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec

import pytest
from browsers import browser, open_page  # noqa: F401 (fixtures)

import stgraph

GPU_TESTS = pytest.StashKey[set[str]]()


@cache
def gpu_missing() -> str | None:
    """What a test marked ``gpu`` lacks on this machine, or None."""
    if find_spec("cupy") is None:
        return "needs a CUDA device and CuPy: CuPy is not installed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import cupy

            count = cupy.cuda.runtime.getDeviceCount()
        except Exception as error:  # no driver, no device, or a CuPy built for another CUDA
            return f"needs a CUDA device and CuPy: {type(error).__name__}: {error}"
    return None if count else "needs a CUDA device and CuPy: no device found"


def pytest_collection_finish(session: pytest.Session) -> None:
    gpu_items = [item for item in session.items if item.get_closest_marker("gpu")]
    session.config.stash[GPU_TESTS] = {item.nodeid for item in gpu_items}
    if gpu_items and (reason := gpu_missing()):
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    gpu_tests = config.stash.get(GPU_TESTS, set())
    reports = [r for key in ("passed", "failed", "xfailed", "xpassed") for r in terminalreporter.getreports(key)]
    run = {report.nodeid for report in reports if report.when == "call"} & gpu_tests
    terminalreporter.write_line(f"GPU tests: {len(run)} of {len(gpu_tests)} run")


@pytest.fixture
def threads() -> Iterator[None]:
    """Restores the number of threads."""
    before = stgraph.num_threads()
    yield
    stgraph.set_num_threads(before)
