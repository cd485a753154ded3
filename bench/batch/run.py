"""Running a batch: pending inputs, their runner, and the outcomes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from stgraph.aliases import Progress
from stgraph.bench.batch.folder import opened_folder
from stgraph.bench.batch.inputs import expand
from stgraph.bench.batch.jobs import BatchStopError, Job, digest_of, parameters_of
from stgraph.bench.batch.names import absolute, readable, result_name
from stgraph.bench.batch.result_file import check_arrow
from stgraph.bench.batch.runner_dask import check_dask, run_dask
from stgraph.bench.batch.runner_local import run_local
from stgraph.bench.batch.work import FAILED, STOPPED, Outcome, WorkItem, is_finished
from stgraph.errors import InputError

RUNNERS = ("local", "dask")


@dataclass
class BatchReport:
    """Report of a batch.

    Attributes
    ----------
    n_done, n_present : inputs completed by this run, and by earlier ones
    failed : reason of failure, by input
    left_out : files in the folders that are read only if given by name
    seconds : duration of this run
    """

    n_done: int = 0
    n_present: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run_batch(
    job: Job,
    inputs: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    runner: str = "local",
    n_workers: int = 1,
    retries: int = 1,
    scheduler_address: str | None = None,
    scheduler_file: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> BatchReport:
    """Run ``job`` on every input without results in ``output``.

    Parameters
    ----------
    inputs : files and folders
    output : folder; rows go to ``rows/``, one Parquet file per input
    runner : "local" for processes on this machine, or "dask"
    n_workers : processes on this machine
    retries : further attempts after a system error or the death of a worker
    scheduler_address, scheduler_file : a running Dask scheduler
    progress : called with a label and the completed share of inputs, 0 to 1

    Raises
    ------
    InputError
        there are no inputs, an argument is wrong, or the output folder cannot be written or is in use; also during a
        run if every other input would fail in the same way: results so far are kept
    MissingDependencyError
        pyarrow or Dask is not installed
    """
    _check(runner, n_workers, retries, scheduler_address, scheduler_file)
    target, start = Path(os.path.abspath(output)), monotonic()
    jobs, left_out = expand(inputs, job, target)
    digest, made = digest_of(job), None if job.output is None else job.output[0]
    report = BatchReport(left_out=left_out)
    tell = progress or (lambda label, share: None)
    with opened_folder(target, job.name, digest, parameters_of(job), made):
        items = []
        for i, (path, own) in enumerate(jobs.items()):
            if i % 100 == 0:
                tell("checking existing results", 0.0)
            item = WorkItem(path, absolute(path), result_name(path), str(target), own, digest, retries)
            if is_finished(item):
                report.n_present += 1
            else:
                items.append(item)
        if items:
            work = (
                run_local(items, n_workers)
                if runner == "local"
                else run_dask(items, n_workers, scheduler_address, scheduler_file)
            )
            with closing(work):
                _follow(work, report, len(jobs), tell)
    report.seconds = monotonic() - start
    return report


def _follow(work: Iterator[Outcome], report: BatchReport, n_inputs: int, tell: Progress) -> None:
    start = monotonic()
    for outcome in work:
        if outcome.status == STOPPED:
            n = report.n_done + report.n_present
            raise BatchStopError(
                f"{outcome.error}. Stopped with {n:,} of {n_inputs:,} inputs done; run the same command again to resume"
            )
        if outcome.status == FAILED:
            report.failed[readable(outcome.input)] = outcome.error or ""
        else:
            report.n_done += 1
        n_now, n_failed = report.n_done + len(report.failed), len(report.failed)
        n_all = n_now + report.n_present
        rate = n_now / max(monotonic() - start, 1e-9)
        tell(f"{n_all:,}/{n_inputs:,}, {rate:.3g}/s, {n_failed:,} failed", n_all / n_inputs)


def _check(runner: str, n_workers: int, retries: int, address: str | None, file: object) -> None:
    if runner not in RUNNERS:
        raise InputError(f"runner is {runner!r}; it must be one of {', '.join(RUNNERS)}")
    for name, value, least in (("n_workers", n_workers, 1), ("retries", retries, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} is {value!r}; it must be an integer of at least {least}")
    if address is not None and file is not None:
        raise InputError("a scheduler's address and its file exclude each other; give one")
    if runner == "local" and (address is not None or file is not None):
        raise InputError("a scheduler belongs to runner 'dask'")
    check_arrow()
    if runner == "dask":
        check_dask()
