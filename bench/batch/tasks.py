"""What a batch does with each input: the interface, and the table of those we ship."""

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


class Task(Protocol):
    """A frozen dataclass whose fields are the parameters, checked when it is made; it is sent to the workers.

    ``name`` for rows; ``suffixes``: files taken from a folder; ``columns``: name and type (str, int, float, bool) of
    what :meth:`run` gives; ``output``: folder and suffix of the file made of each input, None where none is.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    columns: ClassVar[Mapping[str, type]]

    @property
    def output(self) -> tuple[str, str] | None: ...

    @property
    def asked(self) -> str:
        """Stands for what the rows of its input depend on beside file and parameters; another asks for them anew."""
        return ""

    def of(self, path: str) -> Task:
        """The task as it concerns one input, by its absolute path: what is sent to the worker that does it.

        Raises
        ------
        InputError
            the task has nothing to do with that file; of a folder, such files are passed over
        """
        return self

    def run(self, path: Path, target: Path | None) -> list[Row]:
        """The rows of one input; the file goes to ``target``, inside :func:`writing`. A row with an ``error`` has the
        input count as failed."""
        ...


def check_task(found: Any) -> None:
    """Raise InputError unless ``found`` is a class of tasks."""
    if not isinstance(found, type) or not is_dataclass(found):
        raise InputError(f"{found!r} is not a dataclass; derive one from stgraph.bench.batch.tasks.Task")
    for name in ("name", "suffixes", "columns", "output", "of", "run"):
        if not hasattr(found, name):
            raise InputError(f"{found.__name__} has no {name}, which a batch task needs")


TASKS = Registry(
    "batch task",
    {
        "select": "stgraph.bench.batch.task_select:SelectTask",
        "compare": "stgraph.bench.batch.task_compare:CompareTask",
        "compare-selectors": "stgraph.bench.batch.task_compare_selectors:CompareSelectorsTask",
        "dump": "stgraph.bench.batch.task_dump:DumpTask",
        "eval": "stgraph.bench.batch.task_eval:EvalTask",
    },
    group="stgraph.batch_tasks",
    check=check_task,
)


class BatchStopError(InputError):
    """No fault of an input, and the next would meet the same: the disk is full, a checkpoint cannot be loaded."""


def parameters_of(task: Task) -> dict[str, Any]:
    """The parameters of a task, all of them JSON values."""
    return {part.name: getattr(task, part.name) for part in fields(task) if part.init}  # type: ignore[arg-type]


def digest_of(task: Task) -> str:
    """16 hexadecimal digits that stand for a task, its parameters and the version of stgraph."""
    known = {"task": task.name, "stgraph": stgraph.__version__, **parameters_of(task)}
    return blake2b(json.dumps(known, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


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
