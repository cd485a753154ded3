"""What a batch does with each input: the interface, and the table of those we ship."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

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

    def run(self, path: Path, target: Path | None) -> list[Row]:
        """The rows of one input; the file goes to ``target``, inside :func:`writing`."""
        ...


TASKS = Registry(
    "batch task",
    {
        "select": "stgraph.bench.batch.task_select:SelectTask",
        "compare": "stgraph.bench.batch.task_compare:CompareTask",
        "dump": "stgraph.bench.batch.task_dump:DumpTask",
    },
    group="stgraph.batch_tasks",
)


class BatchStopError(InputError):
    """No fault of an input, and the next would meet the same: the disk is full, a checkpoint cannot be loaded."""


def parameters_of(task: Task) -> dict[str, Any]:
    """The parameters of a task as JSON values."""
    return asdict(task)  # type: ignore[call-overload,no-any-return]


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
