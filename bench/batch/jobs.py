"""Batch jobs: the interface, and the table of those we ship."""

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
    """A frozen dataclass whose fields are the parameters, checked when it is made; it is sent to the workers.

    ``name`` for rows; ``suffixes``: files taken from a folder, ``otherwise`` from one without any of these, ``by_name``
    from none, so that a folder's are reported as left out; ``columns``: name and type (str, int, float, bool) of what
    :meth:`run` gives; ``output``: folder and suffix of the file made of each input, None where none is.
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
        """Stands for what the rows of its input depend on beside file and parameters; another asks for them anew."""
        return ""

    def of(self, path: str) -> Job:
        """The job as it concerns one input, by its absolute path: what is sent to the worker that does it.

        Raises
        ------
        InputError
            the job has nothing to do with that file; of a folder, such files are passed over
        """
        return self

    def run(self, path: Path, target: Path | None) -> list[Row]:
        """The rows of one input; the file goes to ``target``, inside :func:`writing`. A row with an ``error`` has the
        input count as failed."""
        ...


def check_task(found: Any) -> None:
    """Raise InputError unless ``found`` is a class of jobs."""
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
    """No fault of an input, and the next would meet the same: the disk is full, a checkpoint cannot be loaded."""


def parameters_of(job: Job) -> dict[str, Any]:
    """The parameters of a job, all of them JSON values."""
    return {one.name: getattr(job, one.name) for one in fields(job) if one.init}  # type: ignore[arg-type]


def digest_of(job: Job) -> str:
    """16 hexadecimal digits that stand for a job, its parameters and the version of stgraph."""
    known = {"job": job.name, "stgraph": stgraph.__version__, **parameters_of(job)}
    return blake2b(json.dumps(known, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def spread(job: Job, *axes: str) -> None:
    """Where an axis of a job that is being made has one value in place of several, make it a tuple of one."""
    for axis in axes:
        value = getattr(job, axis)
        if value is not None:
            object.__setattr__(job, axis, tuple(value) if isinstance(value, (list, tuple)) else (value,))


@contextmanager
def writing() -> Iterator[None]:
    """Around whatever writes results: failures of the file system become :class:`BatchStopError`."""
    try:
        yield
    except Exception as error:
        if from_system(error):
            reason = str(error) if isinstance(error, InputError) else f"cannot write results: {error}"
            raise BatchStopError(reason) from error
        raise


def from_system(error: BaseException) -> bool:
    """Whether an error goes back to the operating system (a disk, a network share) rather than to what was read."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def plain_path(path: os.PathLike[str], folder: os.PathLike[str]) -> str:
    """A path below the output folder, with forward slashes, for rows."""
    return Path(path).relative_to(folder).as_posix()
