"""One input of a batch: the function every runner runs, in whatever process, on whatever machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import stgraph
from stgraph.bench.batch.names import readable
from stgraph.bench.batch.parts import part_path, read_header, write_part
from stgraph.bench.batch.tasks import BatchStopError, Row, Task, from_system, plain_path, writing
from stgraph.errors import StgraphError

DONE, FAILED, STOPPED = "done", "failed", "stopped"


@dataclass(frozen=True)
class Job:
    """One input.

    Attributes
    ----------
    input : as it was named
    path : absolute
    part : name of its results
    output : the output folder, absolute
    task, digest : what is done, and the digest of its parameters
    retries : further attempts after an error of the system
    """

    input: str
    path: str
    part: str
    output: str
    task: Task
    digest: str
    retries: int = 1

    @property
    def target(self) -> Path | None:
        """The file made of the input, beside its rows."""
        if self.task.output is None:
            return None
        folder, suffix = self.task.output
        return Path(self.output) / folder / f"{self.part}{suffix}"


@dataclass(frozen=True)
class Outcome:
    """What became of a job: ``status`` is "done", "failed" (the rows say why), or "stopped" (no input can be done)."""

    part: str
    input: str
    status: str
    error: str | None
    seconds: float


def run_job(job: Job) -> Outcome:
    """Do one input, and write its rows or its error; never raises but for what ends the process.

    An error that goes back to the operating system is met again ``job.retries`` times; errors of the input itself would
    only come again.
    """
    start = perf_counter()
    if is_finished(job):  # by a worker that was killed before it could say so
        return Outcome(job.part, job.input, DONE, None, perf_counter() - start)
    identity = identity_of(job.path)
    error = ""
    for attempt in range(1, job.retries + 2):
        try:
            rows = job.task.run(Path(job.path), job.target)
            facts = {"file": None if job.target is None else plain_path(job.target, Path(job.output))}
            with writing():
                failure = _write(job, identity, [{**facts, **row, "attempts": attempt} for row in rows])
            return Outcome(job.part, job.input, FAILED if failure else DONE, failure, perf_counter() - start)
        except BatchStopError as stop:
            return Outcome(job.part, job.input, STOPPED, str(stop), perf_counter() - start)
        except Exception as raised:  # whatever is wrong with one input must not end a run of hours
            error = str(raised) if isinstance(raised, StgraphError) else f"{type(raised).__name__}: {raised}"
            if isinstance(raised, StgraphError) and not from_system(raised):
                break
    return fail_job(job, error, attempt, perf_counter() - start)


def fail_job(job: Job, error: str, attempts: int, seconds: float = 0.0) -> Outcome:
    """Write the row of an input that could not be done."""
    try:
        with writing():
            _write(job, identity_of(job.path), [{"error": error, "attempts": attempts}])
    except BatchStopError as stop:
        return Outcome(job.part, job.input, STOPPED, str(stop), seconds)
    return Outcome(job.part, job.input, FAILED, error, seconds)


def is_finished(job: Job) -> bool:
    """Whether the results are there: of this task with these parameters, by this version, of a file of this size and
    modification time; an input that failed, or of which a row did, is not finished."""
    header = read_header(part_path(job.output, job.part))
    if header is None or header != _header(job, identity_of(job.path), DONE):
        return False
    return job.target is None or job.target.is_file()


def identity_of(path: str) -> tuple[int, int] | None:
    """(size in bytes, modification time in ns) of an input; None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _header(job: Job, identity: tuple[int, int] | None, status: str) -> dict[str, Any]:
    return {
        "task": job.task.name,
        "parameters_digest": job.digest,
        "asked": job.task.asked,
        "stgraph": stgraph.__version__,
        "path": readable(job.path),
        "identity": None if identity is None else list(identity),
        "status": status,
    }


def _write(job: Job, identity: tuple[int, int] | None, rows: list[Row]) -> str | None:
    """Write the rows; the return value says what failed, if a row holds an error."""
    size, changed = identity or (None, None)
    common = {
        "input": readable(job.input),
        "part": job.part,
        "task": job.task.name,
        "parameters_digest": job.digest,
        "stgraph": stgraph.__version__,
        "input_bytes": size,
        "input_mtime_ns": changed,
    }
    written, errors = [], []
    for row in rows:
        fate: Row = {"status": DONE}
        if row.get("error") is not None:
            errors.append(row["error"])
            fate = {"status": FAILED, "error": readable(row["error"])}
        written.append({**common, **row, **fate})
    header = _header(job, identity, FAILED if errors else DONE)
    write_part(part_path(job.output, job.part), job.task.columns, written, header)
    if not errors:
        return None
    return errors[0] if len(rows) == 1 else f"{len(errors)} of {len(rows)} rows failed, the first: {errors[0]}"
