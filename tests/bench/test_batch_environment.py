"""What a batch gives its workers: a share of the CPUs, and each a GPU of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from stgraph.bench.batch import environment, runner_local
from stgraph.bench.batch.environment import device_environment, thread_environment, visible_devices
from stgraph.bench.batch.job_dump import DumpJob
from stgraph.cli.batch import _n_workers
from stgraph.errors import UnavailableError

DEVICES = "CUDA_VISIBLE_DEVICES"


def test_workers_times_threads_are_no_more_than_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for n_workers, threads in ((1, "8"), (2, "4"), (3, "2"), (8, "1"), (20, "1")):
        assert set(thread_environment(n_workers).values()) == {threads}


@pytest.mark.parametrize(
    ("n_workers", "visible", "expected"),
    [
        (3, [], [None, None, None]),
        (3, ["0"], [None, None, None]),
        (1, ["0", "1"], [None]),
        (2, ["0", "1", "2"], ["0", "1"]),
        (5, ["GPU-a", "3"], ["GPU-a", "3", "GPU-a", "3", "GPU-a"]),
    ],
)
def test_devices_go_round(n_workers: int, visible: list[str], expected: list[str | None]) -> None:
    given = [device_environment(i, n_workers, visible) for i in range(n_workers)]
    assert given == [{} if name is None else {DEVICES: name} for name in expected]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ["0", "1", "2"]),
        ({DEVICES: ""}, []),
        ({DEVICES: "-1"}, []),
        ({DEVICES: "2, 0"}, ["2", "0"]),
        ({DEVICES: "MIG-1,,3"}, ["MIG-1"]),
    ],
)
def test_what_cuda_would_see(
    variables: Mapping[str, str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "devices", lambda: ["one GPU"] * 3)
    assert visible_devices(variables) == expected


def test_the_local_runner_hands_them_out(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Mapping[str, str]] = []

    class Worker:
        job = None

        def __init__(self, variables: Mapping[str, str]) -> None:
            given.append(variables)

        def wait_ready(self) -> None:
            raise UnavailableError("seen enough")

        def end(self) -> None:
            pass

    monkeypatch.setattr(runner_local, "_Worker", Worker)
    monkeypatch.setenv(DEVICES, "4,7")
    with pytest.raises(UnavailableError, match="seen enough"):
        next(runner_local.run_local([None] * 5, 3))  # type: ignore[list-item]
    assert [variables.get(DEVICES) for variables in given] == ["4", "7", "4"]
    assert all(variables.keys() >= set(environment.THREAD_VARIABLES) for variables in given)


def test_a_model_has_a_worker_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, n_workers in (("0,1,2", 3), ("", 1)):
        monkeypatch.setenv(DEVICES, visible)
        assert _n_workers(DumpJob(model="a checkpoint"), "local") == n_workers
        assert _n_workers(DumpJob(model="a checkpoint"), "dask") == 1
    monkeypatch.setattr("stgraph.kernels.cpu.threads.num_threads", lambda: 6)
    assert _n_workers(DumpJob(), "local") == 6
