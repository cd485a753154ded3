"""What all tests share: GPU tests say what they lack, and the summary counts those that ran."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from ctypes.util import find_library
from functools import cache
from importlib.util import find_spec

import pytest
from browsers import browser, open_page  # noqa: F401 (fixtures)
from refusals import refused, unopened  # noqa: F401 (fixtures)

import stgraph

os.environ.pop("COLUMNS", None)  # of a terminal, or of pytest-xdist: what commands print is tested at their own width

HAS_DRIVER = find_library("cuda") is not None
if not HAS_DRIVER:
    # Triton reads it when a kernel is defined, so it has to be there before the first is. With a GPU, set it by hand.
    os.environ.setdefault("TRITON_INTERPRET", "1")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@cache
def gpu_missing() -> str | None:
    """What a test marked ``gpu`` lacks on this machine, or None."""
    needs = "needs a CUDA device, torch and Triton: "
    for package in ("torch", "triton"):
        if find_spec(package) is None:
            return f"{needs}{package} is not installed"
    if not HAS_DRIVER:
        return f"{needs}no CUDA driver was found"
    if INTERPRETED:
        return f"{needs}TRITON_INTERPRET=1 runs kernels in the interpreter; unset it"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch

        return None if torch.cuda.is_available() else f"{needs}torch finds no device"


def pytest_collection_finish(session: pytest.Session) -> None:
    gpu_items = [item for item in session.items if item.get_closest_marker("gpu")]
    if gpu_items and (reason := gpu_missing()):
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(_reason(report) for report in terminalreporter.getreports("skipped"))
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"SKIPPED [{count}] {reason}")
    # By what the reports say, for under pytest-xdist the tests are collected by other processes.
    ran = {r.nodeid for key in ("passed", "failed", "xfailed", "xpassed") for r in _of_gpu(terminalreporter, key)}
    skipped = {report.nodeid for report in _of_gpu(terminalreporter, "skipped")}
    terminalreporter.write_line(f"GPU tests: {len(ran)} of {len(ran | skipped)} run")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test or a whole file was skipped, without the place, of which there are many for one reason."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _of_gpu(terminalreporter: pytest.TerminalReporter, outcome: str) -> list[pytest.TestReport]:
    reports = (r for r in terminalreporter.getreports(outcome) if isinstance(r, pytest.TestReport))  # of no whole file
    return [report for report in reports if "gpu" in report.keywords]


@pytest.fixture
def threads() -> Iterator[None]:
    """Restores the number of threads."""
    before = stgraph.num_threads()
    yield
    stgraph.set_num_threads(before)


@pytest.fixture
def interpreter() -> Iterator[None]:
    """The GPU engine on tensors in host memory, its kernels in Triton's interpreter."""
    reason = "the GPU engine in Triton's interpreter needs "
    for package in ("torch", "triton"):
        pytest.importorskip(package, reason=f"{reason}{package}")
    if not INTERPRETED:
        pytest.skip(f"{reason}TRITON_INTERPRET=1, in a run of its own: it is for all kernels")
    from stgraph.devices import gpu_engine_on

    with warnings.catch_warnings(), gpu_engine_on("cpu"):
        # NumPy, in which the interpreter computes, warns where a GPU gives Inf and NaN in silence.
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
