"""Inputs of a batch: the files to process, and the job for each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from stgraph.bench.batch.jobs import Job
from stgraph.bench.batch.names import absolute
from stgraph.errors import InputError

_QUERY = ".query.safetensors"  # beside a dump, but not a dump


def expand(inputs: Iterable[str | os.PathLike[str]], job: Job, output: Path) -> tuple[dict[str, Job], list[str]]:
    """Files given, and files in given folders in name order; each once, without those in the output folder.

    Returns
    -------
    dict
        the job for each (see :meth:`Job.of`)
    list
        files of the folders that the job reads only if given by name

    Raises
    ------
    InputError
        there is no input, a file is not one the job reads, or a folder holds no such file or cannot be read
    """
    found: dict[str, tuple[str, Job]] = {}
    left: dict[str, str] = {}
    for given in inputs:
        text = os.fspath(given)
        if "\0" not in text and os.path.isdir(text):
            files = _outside(output, _below(text, job.suffixes))
            others = _outside(output, _below(text, job.otherwise))
            if not files:
                files, others = others, []
            if not files:
                suffixes = ", ".join((*job.suffixes, *job.otherwise))
                raise InputError(f"{text} holds no input; names that end in {suffixes} are taken")
            own = _concerned(files, job, text)
            left |= {absolute(file): file for file in [*others, *_outside(output, _below(text, job.by_name))]}
        else:
            own = {text: job.of(absolute(text))}
        for file, its_job in own.items():
            found.setdefault(absolute(file), (file, its_job))
    if not found:
        raise InputError("no input; name files or folders")
    return dict(found.values()), [file for path, file in left.items() if path not in found]


def _concerned(files: Iterable[str], job: Job, folder: str) -> dict[str, Job]:
    """The files of a folder that the job applies to."""
    own: dict[str, Job] = {}
    refusals = []
    for file in files:
        try:
            own[file] = job.of(absolute(file))
        except InputError as error:
            refusals.append(str(error))
    if not own:
        raise InputError(f"{folder} holds no input: {refusals[0]}")
    return own


def _outside(output: Path, files: Iterable[str]) -> list[str]:
    return [file for file in files if not Path(os.path.abspath(file)).is_relative_to(output)]


def _below(folder: str, suffixes: Sequence[str]) -> list[str]:
    def refuse(error: OSError) -> None:  # os.walk skips unreadable folders by default
        raise InputError(f"cannot read {error.filename}: {error.strerror}; leave it out, or make it readable")

    found = (os.path.join(at, name) for at, _, names in os.walk(folder, onerror=refuse) for name in names)
    wanted = (file for file in found if os.path.splitext(file)[1].lower() in suffixes and not file.endswith(_QUERY))
    return sorted(file for file in wanted if os.path.isfile(file))
