"""Batch jobs: the interface, and the table of those included."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Protocol

import stgraph
from stgraph.errors import InputError
from stgraph.registry import Registry

Row = dict[str, Any]


class Job(Protocol):
    """A frozen dataclass whose fields are the parameters, checked on construction; it is sent to the workers.

    ``name``: for rows. ``suffixes``: files taken from a folder; ``otherwise``: those taken from a folder without any of
    these; ``by_name``: those never taken from a folder but reported as left out. ``columns``: name and type (str, int,
    float, bool) of each value :meth:`run` returns. ``output``: folder and suffix of the file written for each input;
    None if there is none.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    otherwise: ClassVar[tuple[str, ...]] = ()
    by_name: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, type]]

    @property
    def output(self) -> tuple[str, str] | None: ...

    @property
    def asked(self) -> str:
        """Digest of anything besides file and parameters that rows depend on; rows are recomputed when it changes."""
        return ""

    def of(self, path: str) -> Job:
        """The job restricted to one input, given by absolute path: sent to the worker that runs it.

        Raises
        ------
        InputError
            the job does not apply to that file; such files in a folder are skipped
        """
        return self

    def run(self, path: Path, target: Path | None) -> list[Row]:
        """Rows of one input; its file is written to ``target``, inside :func:`writing`. A row with an ``error`` marks
        the input as failed."""
        ...


def check_task(found: Any) -> None:
    """Raise InputError unless ``found`` is a job class."""
    if not isinstance(found, type) or not is_dataclass(found):
        raise InputError(f"{found!r} is not a dataclass; derive one from stgraph.bench.batch.jobs.Job")
    for name in ("name", "suffixes", "columns", "output", "of", "run"):
        if not hasattr(found, name):
            raise InputError(f"{found.__name__} has no {name}, which a batch job needs")


JOBS = Registry(
    "batch job",
    {
        "select": "stgraph.bench.batch.job_select:SelectJob",
        "compare": "stgraph.bench.batch.job_compare:CompareJob",
        "compare-selectors": "stgraph.bench.batch.job_compare_selectors:CompareSelectorsJob",
        "dump": "stgraph.bench.batch.job_dump:DumpJob",
        "eval": "stgraph.bench.batch.job_eval:EvalJob",
    },
    group="stgraph.batch_jobs",
    check=check_task,
)


class BatchStopError(InputError):
    """A failure that every other input would meet too, such as a full disk or a checkpoint that cannot be loaded."""


def parameters_of(job: Job) -> dict[str, Any]:
    """All parameters of a job, as JSON values."""
    return {one.name: getattr(job, one.name) for one in fields(job) if one.init}  # type: ignore[arg-type]


def digest_of(job: Job) -> str:
    """Digest of a job, its parameters and the version of stgraph: 16 hexadecimal digits."""
    known = {"job": job.name, "stgraph": stgraph.__version__, **parameters_of(job)}
    return blake2b(json.dumps(known, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def spread(job: Job, *axes: str) -> None:
    """Turn single values of a job's axes into tuples of one, during its construction."""
    for axis in axes:
        value = getattr(job, axis)
        if value is not None:
            object.__setattr__(job, axis, tuple(value) if isinstance(value, (list, tuple)) else (value,))


@contextmanager
def writing() -> Iterator[None]:
    """Turn failures of the file system while results are written into :class:`BatchStopError`."""
    try:
        yield
    except Exception as error:
        if from_system(error):
            reason = str(error) if isinstance(error, InputError) else f"cannot write results: {error}"
            raise BatchStopError(reason) from error
        raise


def from_system(error: BaseException) -> bool:
    """Whether an error comes from the operating system (a disk, a network share) rather than from the file read."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def plain_path(path: os.PathLike[str], folder: os.PathLike[str]) -> str:
    """Path relative to the output folder, with forward slashes, for rows."""
    return Path(path).relative_to(folder).as_posix()
