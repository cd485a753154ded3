"""Processing one input: the function that every runner calls, in any process, on any machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import stgraph
from stgraph.bench.batch.jobs import BatchStopError, Job, Row, from_system, plain_path, writing
from stgraph.bench.batch.names import readable
from stgraph.bench.batch.result_file import read_header, result_path, write_result
from stgraph.errors import StgraphError

DONE, FAILED, STOPPED = "done", "failed", "stopped"


@dataclass(frozen=True)
class WorkItem:
    """One input.

    Attributes
    ----------
    input : the input as given
    path : its absolute path
    result : name of its results
    output : absolute path of the output folder
    job, digest : the job, and the digest of its parameters
    retries : further attempts after a system error
    """

    input: str
    path: str
    result: str
    output: str
    job: Job
    digest: str
    retries: int = 1

    @property
    def target(self) -> Path | None:
        """File written for the input, besides its rows."""
        if self.job.output is None:
            return None
        folder, suffix = self.job.output
        return Path(self.output) / folder / f"{self.result}{suffix}"


@dataclass(frozen=True)
class Outcome:
    """Outcome of an item: ``status`` is "done", "failed" (the rows say why) or "stopped" (no input can be done)."""

    result: str
    input: str
    status: str
    error: str | None
    seconds: float


def run_item(item: WorkItem) -> Outcome:
    """Process one input and write its rows or its error; only exceptions that end the process are raised.

    System errors are retried ``item.retries`` times; errors of the input itself would only repeat.
    """
    start = perf_counter()
    if is_finished(item):  # by a worker killed before it could report
        return Outcome(item.result, item.input, DONE, None, perf_counter() - start)
    identity = identity_of(item.path)
    error = ""
    for attempt in range(1, item.retries + 2):
        try:
            rows = item.job.run(Path(item.path), item.target)
            facts = {"file": None if item.target is None else plain_path(item.target, Path(item.output))}
            with writing():
                failure = _write(item, identity, [{**facts, **row, "attempts": attempt} for row in rows])
            return Outcome(item.result, item.input, FAILED if failure else DONE, failure, perf_counter() - start)
        except BatchStopError as stop:
            return Outcome(item.result, item.input, STOPPED, str(stop), perf_counter() - start)
        except Exception as raised:  # no error of a single input may end a run of hours
            error = str(raised) if isinstance(raised, StgraphError) else f"{type(raised).__name__}: {raised}"
            if isinstance(raised, StgraphError) and not from_system(raised):
                break
    return fail_item(item, error, attempt, perf_counter() - start)


def fail_item(item: WorkItem, error: str, attempts: int, seconds: float = 0.0) -> Outcome:
    """Write the error row of a failed input."""
    try:
        with writing():
            _write(item, identity_of(item.path), [{"error": error, "attempts": attempts}])
    except BatchStopError as stop:
        return Outcome(item.result, item.input, STOPPED, str(stop), seconds)
    return Outcome(item.result, item.input, FAILED, error, seconds)


def is_finished(item: WorkItem) -> bool:
    """Whether results exist for this job, parameters, version, file size and modification time; failed inputs, and
    those with a failed row, are not finished."""
    header = read_header(result_path(item.output, item.result))
    if header is None or header != _header(item, identity_of(item.path), DONE):
        return False
    return item.target is None or item.target.is_file()


def identity_of(path: str) -> tuple[int, int] | None:
    """(size in bytes, modification time in ns) of an input; None if it is missing."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _header(item: WorkItem, identity: tuple[int, int] | None, status: str) -> dict[str, Any]:
    return {
        "job": item.job.name,
        "parameters_digest": item.digest,
        "asked": item.job.asked,
        "stgraph": stgraph.__version__,
        "path": readable(item.path),
        "identity": None if identity is None else list(identity),
        "status": status,
    }


def _write(item: WorkItem, identity: tuple[int, int] | None, rows: list[Row]) -> str | None:
    """Write the rows; return a summary of the errors among them, if any."""
    size, changed = identity or (None, None)
    common = {
        "input": readable(item.input),
        "result": item.result,
        "job": item.job.name,
        "parameters_digest": item.digest,
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
    header = _header(item, identity, FAILED if errors else DONE)
    write_result(result_path(item.output, item.result), item.job.columns, written, header)
    if not errors:
        return None
    return errors[0] if len(rows) == 1 else f"{len(errors)} of {len(rows)} rows failed, the first: {errors[0]}"
