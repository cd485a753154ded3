"""Atomic file writing: an interrupted write never leaves a partial or lost file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from stgraph.errors import InputError


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise InputError before any work is done if ``path`` cannot be written."""
    target = Path(path)
    if target.is_dir():
        raise InputError(f"cannot write {target}: it is a folder; give a file name")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise InputError(f"cannot write {target}: choose an existing folder you may write to")


def check_not_input(output: Path, *inputs: Path | None) -> None:
    """Raise InputError if ``output`` is one of the files that are read."""
    if output.exists() and any(one is not None and one.exists() and output.samefile(one) for one in inputs):
        raise InputError(f"cannot write {output}: it is what is read, and would be lost; give another name")


def check_suffix(path: str | os.PathLike[str], suffixes: Sequence[str], what: str) -> None:
    """Raise InputError unless ``path`` ends in one of ``suffixes``, which programs rely on."""
    if Path(path).suffix.lower() not in suffixes:
        raise InputError(f"cannot write {path}: {what} is written; end its name in {' or '.join(suffixes)}")


@contextmanager
def folder_lock(folder: str | os.PathLike[str]) -> Iterator[None]:
    """While open, other processes wait at their own lock of this folder; without effect where folders have no locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):  # as on some network shares
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path next to ``path``, renamed to it if the block succeeds and removed if it fails.

    Raises
    ------
    InputError
        the folder does not exist or cannot be written, or ``path`` is a folder
    """
    target = Path(path)
    if "\0" in str(target):
        raise InputError(f"cannot write {str(target)!r}: a file name cannot contain NUL")
    try:
        if os.path.isdir(target):
            raise InputError(f"cannot write {target}: it is a folder; give a file name")
        handle, name = tempfile.mkstemp(prefix=".stgraph-", suffix=".part", dir=target.parent)
    except OSError as error:
        raise InputError(
            f"cannot write {target}: {error.strerror or error}; choose an existing folder you may write to"
        ) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(
            f"cannot write {target}: {error.strerror or error}; an existing file is left unchanged"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
