"""Load and fault tests of batches, each with a figure: ``python -m stgraph.bench.reliability.batch CASE``."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

import stgraph
from stgraph.bench.batch.job_select import SelectJob
from stgraph.bench.batch.run import run_batch
from stgraph.bench.speed.stages import machine

Row = dict[str, Any]
SHAPE = (4, 8, 8, 64)  # of each dump, float16


def make_dumps(folder: Path, n: int) -> None:
    """Write ``n`` dumps of random tokens."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(n):
        x = rng.standard_normal(SHAPE[-1]) + rng.standard_normal(SHAPE)
        stgraph.VideoTokens.from_array(x.astype(np.float16)).save(folder / f"{i:05}.safetensors")


def rows_of(output: Path) -> list[Row]:
    """Contents of the folder by input, without values that differ between runs."""
    from pyarrow import dataset

    found = dataset.dataset(output / "rows", format="parquet").to_table().to_pylist()
    found.sort(key=lambda row: row["input"])
    return [{k: v for k, v in row.items() if k != "attempts" and not k.endswith("_s")} for row in found]


def load(folder: Path, work: Path, runner: str, n: int) -> Iterator[Row]:
    """Process all dumps, then run the same command again."""
    for step in ("first", "again"):
        start = perf_counter()
        report = run_batch(SelectJob(), [folder], work / runner, runner=runner, n_workers=2)
        seconds = perf_counter() - start
        yield {
            "case": f"load, {runner}, {step}",
            "done": report.n_done,
            "present": report.n_present,
            "failed": len(report.failed),
            "seconds": round(seconds, 1),
            "per_s": round(n / seconds, 1),
            "kept_files": len(list((work / runner / "kept").iterdir())),
        }
    start = perf_counter()
    n_rows = len(rows_of(work / runner))
    yield {"case": f"read all rows, {runner}", "rows": n_rows, "seconds": round(perf_counter() - start, 1)}


def killed(folder: Path, work: Path, runner: str, n: int) -> Iterator[Row]:
    """Kill one worker process at a third and another at two thirds; compare with an undisturbed run."""
    deaths: list[int] = []

    def kill(label: str, share: float) -> None:
        if len(deaths) < 2 and share > (len(deaths) + 1) / 3:
            alive = [child for child in multiprocessing.active_children() if child.pid not in deaths]
            pid = alive[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            deaths.append(pid)

    report = run_batch(SelectJob(), [folder], work / "killed", runner=runner, n_workers=2, progress=kill)
    run_batch(SelectJob(), [folder], work / "peace", n_workers=2)
    yield {
        "case": f"two workers killed, {runner}",
        "kills": len(deaths),
        "done": report.n_done,
        "failed": len(report.failed),
        "rows": len(rows_of(work / "killed")),
        "inputs": n,
        "same_rows_as_in_peace": rows_of(work / "killed") == rows_of(work / "peace"),
        "left_over_parts": len(list((work / "killed").rglob("*.part"))),
    }


def command(folder: Path, output: Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "stgraph", "batch", "select", str(folder), "-o", str(output), "--workers", "2"]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_parts(output: Path, n: int) -> None:
    while not (output / "rows").is_dir() or len(list((output / "rows").glob("*.parquet"))) < n:
        sleep(0.02)


def ended(process: subprocess.Popen[str]) -> Row:
    out, err = process.communicate()
    return {"status": process.returncode, "said": (out + err).strip().splitlines()}


def interrupted(folder: Path, work: Path, runner: str, n: int) -> Iterator[Row]:
    """Ctrl-C at a quarter, kill -9 at a half, then to the end; compare with an uninterrupted run."""
    out = work / "interrupted"
    for share, how in ((0.25, signal.SIGINT), (0.5, signal.SIGKILL)):
        process = command(folder, out)
        wait_parts(out, int(share * n))
        process.send_signal(how)
        yield {"case": f"stopped by {how.name}", **ended(process), "parts": len(list((out / "rows").glob("*.parquet")))}
    yield {"case": "gone on with", **ended(command(folder, out))}
    run_batch(SelectJob(), [folder], work / "whole", n_workers=2)
    found = rows_of(out)
    yield {
        "case": "rows of an interrupted batch",
        "rows": len(found),
        "same_as_uninterrupted": found == rows_of(work / "whole"),
        "left_over_parts": len(list(out.rglob("*.part"))),
    }


def locked(folder: Path, work: Path, runner: str, n: int) -> Iterator[Row]:
    """A second batch into the folder of a running one."""
    out = work / "locked"
    first = command(folder, out)
    wait_parts(out, n // 10)
    yield {"case": "second batch, same folder", **ended(command(folder, out))}
    yield {"case": "first batch", **ended(first), "rows": len(rows_of(out))}


def disk(folder: Path, work: Path, runner: str, n: int) -> Iterator[Row]:
    """A tmpfs of 3 MiB that fills up, then is made larger, then read-only; needs root."""
    place = work / "tmpfs"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        yield {"case": "disk full", "skipped": "mounting a tmpfs needs root"}
        return
    try:
        out = place / "out"
        yield {"case": "disk full", **ended(command(folder, out)), "rows": len(rows_of(out))}
        subprocess.run(["mount", "-o", "remount,size=2g", str(place)], check=True)
        yield {"case": "more room, same command", **ended(command(folder, out)), "rows": len(rows_of(out))}
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        yield {"case": "read-only, results there", **ended(command(folder, out))}
        yield {"case": "read-only, new folder", **ended(command(folder, place / "new"))}
    finally:
        subprocess.run(["umount", str(place)], check=True)


CASES: dict[str, Callable[[Path, Path, str, int], Iterator[Row]]] = {
    "load": load,
    "killed": killed,
    "interrupted": interrupted,
    "locked": locked,
    "disk": disk,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--dumps", type=int, default=10_000)
    parser.add_argument("--runner", choices=("local", "dask"), default="local", help="for load and killed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stgraph-reliability-") as scratch:
        folder, work = Path(scratch) / "in", Path(scratch) / "out"
        work.mkdir()
        start = perf_counter()
        make_dumps(folder, asked.dumps)
        facts = {"machine": machine(), "dumps": asked.dumps, "shape": SHAPE, "made_s": round(perf_counter() - start, 1)}
        sys.stdout.write(json.dumps(facts) + "\n")
        for row in CASES[asked.case](folder, work, asked.runner, asked.dumps):
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
