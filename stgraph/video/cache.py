"""Cache of tokens of videos opened without a dump: bounded, in the user's cache folder."""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from stgraph import container
from stgraph.aliases import Progress
from stgraph.dump import load
from stgraph.errors import DumpError, InputError
from stgraph.tokens import VideoTokens
from stgraph.video.dump import Sampling, TokenSource, is_present, video_tokens

ENVIRONMENT = "STGRAPH_CACHE_DIR"
LIMIT_BYTES = 2 << 30
"""Size limit of the cache; the least recently used entries go first."""

_log = logging.getLogger("stgraph")


@dataclass(frozen=True)
class Entry:
    """One video's tokens in the cache: file, size in bytes, name of the video, encoder and number of frames."""

    path: Path
    n_bytes: int
    video: str
    encoder: str
    n_frames: int


def cache_folder() -> Path:
    """The cache folder: ``$STGRAPH_CACHE_DIR``, or the user's cache folder."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    home = Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "stgraph" / "videos"


def cached_tokens(
    path: Path, source: TokenSource, sampling: Sampling, progress: Progress | None = None
) -> tuple[VideoTokens, bool]:
    """The tokens of a video, from the cache if it holds them for this exact file and these settings; otherwise computed
    and cached.

    An unwritable cache costs time but never fails the call; the logger "stgraph" notes it in one line.

    Returns
    -------
    tokens, and whether they came from the cache

    Raises
    ------
    InputError
        see :func:`stgraph.video.dump.video_tokens`
    """
    target = cache_folder() / f"{_digest(path, source, sampling)}.safetensors"
    if is_present(path, target, source, sampling):
        try:
            found = load(target)
            signals = {name: np.array(found.signals[name]) for name in found.signals}  # the entry may go at any time
            os.utime(target)
            return VideoTokens(found.features, found.grid, signals, found.metadata), True
        except (DumpError, OSError):
            pass  # another process has cleared the cache
    tokens, _ = video_tokens(path, source, sampling, progress)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        tokens.save(target)
        _trim()
    except (OSError, InputError) as error:
        _log.warning(
            "the tokens of %s are not cached (%s); set %s to a folder that can be written", path, error, ENVIRONMENT
        )
    return tokens, False


def entries() -> list[Entry]:
    """Entries of the cache, last used first."""
    found = []
    for path in _files():
        try:
            n_bytes = path.stat().st_size
            _, metadata = container.read(path, "tokens")
        except (DumpError, OSError):
            continue
        facts = (str(metadata.get("source", "?")), str(metadata.get("encoder", "?")))
        found.append(Entry(path, n_bytes, *facts, int(metadata.get("n_frames", 0))))
    return found


def clear() -> int:
    """Empty the cache and return the number of bytes freed. Other files are kept."""
    freed = 0
    for path in _files():
        freed += _removed(path)
    return freed


def _trim() -> None:
    """Remove least recently used entries until the rest is within the limit, keeping at least the newest."""
    kept = 0
    for i, path in enumerate(_files()):
        try:
            size = path.stat().st_size
        except OSError:
            continue
        kept += size
        if kept > LIMIT_BYTES and i:
            kept -= _removed(path)


def _files() -> list[Path]:
    """Entries, last used first."""

    def used(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except OSError:
            return 0.0

    folder = cache_folder()
    try:
        return sorted((p for p in folder.iterdir() if _is_entry(p)), key=used, reverse=True)
    except OSError:
        return []


def _is_entry(path: Path) -> bool:
    """Whether a file's name is that of an entry, 32 hexadecimal digits, so that other files in a user's folder are not
    touched."""
    return path.suffix == ".safetensors" and len(path.stem) == 32 and set(path.stem) <= set("0123456789abcdef")


def _removed(path: Path) -> int:
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    return size


def _digest(path: Path, source: TokenSource, sampling: Sampling) -> str:
    found = path.stat()
    known = [os.path.abspath(path), found.st_size, found.st_mtime_ns, dict(source.settings), sampling.settings]
    return blake2b(json.dumps(known, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()
