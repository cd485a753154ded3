"""Which files a batch works on, and what it does with each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from stgraph.bench.batch.names import absolute
from stgraph.bench.batch.tasks import Task
from stgraph.errors import InputError

_QUERY = ".query.safetensors"  # beside a dump, and no dump


def expand(inputs: Iterable[str | os.PathLike[str]], task: Task, output: Path) -> dict[str, Task]:
    """The files named, and those below the folders named, by name; each once, and none of the output folder.

    Returns
    -------
    dict
        what is to be done with each (see :meth:`Task.of`)

    Raises
    ------
    InputError
        no input, a file that is none of the task's, a folder without any that is, or one that cannot be read
    """
    found: dict[str, tuple[str, Task]] = {}
    for given in inputs:
        text = os.fspath(given)
        if "\0" not in text and os.path.isdir(text):
            files = [
                file for file in _below(text, task.suffixes) if not Path(os.path.abspath(file)).is_relative_to(output)
            ]
            if not files:
                raise InputError(f"{text} holds no input; names that end in {', '.join(task.suffixes)} are taken")
            own = _concerned(files, task, text)
        else:
            own = {text: task.of(absolute(text))}
        for file, part in own.items():
            found.setdefault(absolute(file), (file, part))
    if not found:
        raise InputError("no input; name files or folders")
    return dict(found.values())


def _concerned(files: Iterable[str], task: Task, folder: str) -> dict[str, Task]:
    """Those of a folder's files that the task has to do with."""
    own: dict[str, Task] = {}
    refusals = []
    for file in files:
        try:
            own[file] = task.of(absolute(file))
        except InputError as error:
            refusals.append(str(error))
    if not own:
        raise InputError(f"{folder} holds no input: {refusals[0]}")
    return own


def _below(folder: str, suffixes: Sequence[str]) -> list[str]:
    def refuse(error: OSError) -> None:  # by itself, os.walk passes over what it cannot read
        raise InputError(f"cannot read {error.filename}: {error.strerror}; leave it out, or make it readable")

    found = (os.path.join(at, name) for at, _, names in os.walk(folder, onerror=refuse) for name in names)
    wanted = (file for file in found if os.path.splitext(file)[1].lower() in suffixes and not file.endswith(_QUERY))
    return sorted(file for file in wanted if os.path.isfile(file))
