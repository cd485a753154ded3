"""Output folder of a batch: one batch at a time, a single job, and no partial files left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stgraph.bench.batch.result_file import ROWS
from stgraph.errors import InputError, UnavailableError
from stgraph.files import atomic_path
from stgraph.plain_json import parse_json

_LOCK, _RECORD = ".stgraph-batch.lock", "batch.json"


@contextmanager
def opened_folder(
    output: Path, job: str, digest: str, parameters: Mapping[str, Any], made: str | None
) -> Iterator[None]:
    """The folder, locked against other batches while the block runs; a killed process releases the lock.

    Parameters
    ----------
    job, digest, parameters : recorded in ``batch.json``, where a row's ``parameters`` can be looked up
    made : folder of the files a job writes; None if it writes none

    Raises
    ------
    InputError
        the folder cannot be made or written, belongs to another job, or another batch is writing there
    """
    try:
        for folder in (output, output / ROWS, *([output / made] if made else [])):
            folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(output / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(
            f"cannot write {output}: {error.strerror or error}; choose a folder you may write to"
        ) from None
    try:
        _lock(handle, output)
        _note(output, job, digest, parameters)
        _clear(output, made)
        try:
            yield
        finally:
            _clear(output, made)
    finally:
        os.close(handle)  # and releases the lock


def _clear(output: Path, made: str | None) -> None:
    """Remove partial files of killed workers."""
    for folder in (output / ROWS, *([output / made] if made else [])):
        for left in folder.glob(".stgraph-*.part"):
            with suppress(OSError):  # a disk that became read-only is reported when results are written
                left.unlink()


def _lock(handle: int, output: Path) -> None:
    try:
        import fcntl
    except ImportError:
        raise UnavailableError("stgraph batch locks its output folder with flock, which this platform lacks") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"another batch is writing to {output}; wait for it, or choose another folder") from None
    except OSError as error:
        raise InputError(f"cannot lock {output}: {error.strerror or error}; choose a folder on another disk") from None


def _note(output: Path, job: str, digest: str, parameters: Mapping[str, Any]) -> None:
    path = output / _RECORD
    record: dict[str, Any] = {"job": job, "parameters": {}}
    if path.exists():
        try:
            record = parse_json(path.read_text(encoding="utf-8"))
            before = None if "task" in record else record["job"]  # the former name of jobs
            record["parameters"][digest] = dict(parameters)
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"cannot read {path}: it is not a record of a batch; choose another folder") from None
        if before is None:
            raise InputError(f"{output} was written by an earlier version of stgraph; choose another folder")
        if before != job:
            raise InputError(f"{output} holds the results of batch {before}, this is {job}; choose another folder")
    record["parameters"][digest] = dict(parameters)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
