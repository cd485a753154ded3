"""Decorator of every kernel: compiled on first use, and cached between processes if possible."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile

_log = logging.getLogger("stgraph")
_told = False  # one line a process says it all


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` without the GIL, and with a cache that costs time but never fails the call if unwritable.

    The cache lies where numba puts it: in ``NUMBA_CACHE_DIR``, beside the source, or in the user's cache folder. If
    none of these is writable, it is a folder of this user's below the system's temporary folder, and if that is not
    writable either, there is no cache. Both cases are noted once, as a warning of the logger "stgraph".

    Parameters
    ----------
    **options : of ``numba.njit``
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, **options)(function)
        cache = _cache_of(function)
        if cache is not None:
            dispatcher._cache = cache  # what enable_caching() does, with a class of numba's own
        return dispatcher

    return decorate


def cache_folder() -> str | None:
    """Folder of cached kernels; None if they are not cached."""
    cache = _cache_of(cache_folder)
    return None if cache is None else str(cache.cache_path)


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """numba's cache, but following all kernels' sources, and a full disk or a lost folder is not an error, since the
    function has been compiled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        # numba looks at the file of the function alone. Kernels inline functions and constants of their neighbours, so
        # that after an edit there the old code would run.
        stamp = self._impl.locator.get_source_stamp(), _sources()
        self._cache_file = IndexDataCacheFile(self.cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except OSError as error:
            _tell(f"compiled kernels cannot be read from {self.cache_path} ({error.strerror or error})")
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _tell(
                f"compiled kernels cannot be cached in {self.cache_path} ({error.strerror or error}); each process "
                "compiles them anew. Set NUMBA_CACHE_DIR to a folder with room"
            )


@cache
def _sources() -> tuple[tuple[str, int, int], ...]:
    """Name, time of the last change in ns, and size in bytes of each file of kernels."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def _cache_of(function: Callable[..., Any]) -> FunctionCache | None:
    try:
        return _KernelCache(function)
    except RuntimeError:  # numba found no folder it can write
        folder = _temporary_folder()
    remedy = "set NUMBA_CACHE_DIR to a folder that can be written"
    if folder is None:
        _tell(f"compiled kernels are not cached: no folder for them can be written; {remedy}")
        return None
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        cache = _KernelCache(function)
    except RuntimeError:
        _tell(f"compiled kernels are not cached: no folder for them can be written; {remedy}")
        return None
    finally:
        config.CACHE_DIR = before
    _tell(f"compiled kernels are cached in {folder}, as neither stgraph's folder nor the home can be written; {remedy}")
    return cache


def _temporary_folder() -> Path | None:
    """A folder that only this user can have made and can write, since a cache's contents are executed."""
    try:
        folder = Path(tempfile.gettempdir()) / f"stgraph-kernels-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077)
    return folder if stat.S_ISDIR(found.st_mode) and own else None


def _tell(text: str) -> None:
    global _told
    if not _told:
        _told = True
        _log.warning("%s", text)
