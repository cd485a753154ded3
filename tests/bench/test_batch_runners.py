"""Batches in real processes and under Dask: deaths of workers, interrupts, and the same rows whoever did them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import Obedient, rows, written

from stgraph.bench.batch.run import run_batch
from stgraph.errors import UnavailableError

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {"a.txt": "ok", "b.txt": "die-once", "c.txt": "wrong", "d.txt": "die", "e.txt": "share-once", "f.txt": "ok."}
DEATH = "its worker was killed by signal 9 (SIGKILL)"
SCRIPT = """
import signal
import sys
from pathlib import Path
from batch_jobs import Obedient
from stgraph.bench.batch.run import run_batch
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    run_batch(Obedient(write=True), [sys.argv[1]], sys.argv[2], n_workers=2)
"""


def statuses(output: Path) -> dict[str, tuple[str, int]]:
    return {Path(row["input"]).name: (row["status"], row["attempts"]) for row in rows(output, times=True)}


def check_deaths(folder: Path, report: Any, output: Path, death: str) -> None:
    assert (report.n_done, report.n_present) == (4, 0)
    assert report.failed == {str(folder / "c.txt"): "c.txt is wrong", str(folder / "d.txt"): death}
    assert {name: status for name, (status, _) in statuses(output).items()} == {
        **dict.fromkeys(TEXTS, "done"),
        "c.txt": "failed",
        "d.txt": "failed",
    }
    assert len(rows(output)) == 4 * 2 + 2


@pytest.mark.slow
def test_a_worker_that_dies_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "in", TEXTS), tmp_path / "out"
    report = run_batch(Obedient(), [folder], out, n_workers=2)
    check_deaths(folder, report, out, DEATH)
    assert statuses(out)["d.txt"] == ("failed", 2)
    written(folder, {"c.txt": "ok", "d.txt": "ok"})
    again = run_batch(Obedient(), [folder], out, n_workers=1)
    assert (again.n_done, again.n_present, again.failed) == (2, 4, {})
    assert len(rows(out)) == 6 * 2


def started(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support", os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-c", SCRIPT, str(folder), str(out)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE)


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_batch_that_ends_early_goes_on_to_the_same_rows(tmp_path: Path, how: signal.Signals) -> None:
    folder = written(tmp_path / "in", {f"{i:02}.txt": "slow" + "." * i for i in range(12)})
    out = tmp_path / "out"
    process = started(folder, out)
    wait_for(lambda: len(list((out / "rows").glob("*.parquet"))) >= 3)
    process.send_signal(how)
    assert process.stderr is not None
    message = process.stderr.read()  # to its end: the workers are gone as well
    process.stderr.close()
    assert process.wait() != 0
    assert (b"KeyboardInterrupt" in message) == (how == signal.SIGINT)
    n_before = len(list((out / "rows").glob("*.parquet")))
    assert 3 <= n_before < 12
    report = run_batch(Obedient(write=True), [folder], out, n_workers=1)
    assert (report.n_done, report.n_present, report.failed) == (12 - n_before, n_before, {})
    run_batch(Obedient(write=True), [folder], tmp_path / "whole", n_workers=2)
    assert rows(out) == rows(tmp_path / "whole")
    assert len(rows(out)) == 24
    assert not list(out.rglob("*.part"))


@pytest.mark.slow
def test_workers_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgraph.bench.batch.runner_local._serve", os._exit)
    folder = written(tmp_path / "in", {"a.txt": "ok"})
    with pytest.raises(UnavailableError, match="a batch worker cannot start: it ended with status "):
        run_batch(Obedient(), [folder], tmp_path / "out")


# Dask


@pytest.fixture
def dask() -> None:
    pytest.importorskip("distributed", reason="distributed is not installed")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("dask")
def test_dask_gives_the_rows_of_local_processes(tmp_path: Path) -> None:
    folder = written(tmp_path / "in", TEXTS)
    report = run_batch(Obedient(), [folder], tmp_path / "dask", runner="dask", n_workers=2)
    check_deaths(folder, report, tmp_path / "dask", "its workers died, one after the other")
    for marker in folder.glob("*.seen"):
        marker.unlink()
    run_batch(Obedient(), [folder], tmp_path / "local", n_workers=2)
    found, expected = (
        [row for row in rows(tmp_path / runner) if "d.txt" not in row["input"]] for runner in ("dask", "local")
    )
    assert found == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("dask")
def test_a_scheduler_that_runs_already(tmp_path: Path) -> None:
    from distributed import LocalCluster

    folder = written(tmp_path / "in", {"a.txt": "ok", "b.txt": "wrong"})
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        file = tmp_path / "scheduler.json"
        file.write_text(json.dumps(cluster.scheduler.identity()))
        by_address: dict[str, Any] = {"scheduler_address": cluster.scheduler_address}
        for i, where in enumerate([by_address, {"scheduler_file": file}]):
            report = run_batch(Obedient(), [folder], tmp_path / f"out{i}", runner="dask", **where)
            assert (report.n_done, list(report.failed.values())) == (1, ["b.txt is wrong"])
    assert rows(tmp_path / "out0") == rows(tmp_path / "out1")


@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("dask")
def test_a_scheduler_that_cannot_be_reached(tmp_path: Path) -> None:
    folder = written(tmp_path / "in", {"a.txt": "ok"})
    with pytest.raises(UnavailableError, match="cannot reach the Dask scheduler none: "):
        run_batch(Obedient(), [folder], tmp_path / "out", runner="dask", scheduler_address="none")
