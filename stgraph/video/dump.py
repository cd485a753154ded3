"""Token dumps from video files or folders of them; existing dumps are left unchanged."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from stgraph import container
from stgraph.aliases import Array, Progress
from stgraph.dump import save_query
from stgraph.errors import DumpError, InputError, MissingDependencyError
from stgraph.files import check_writable
from stgraph.grid import TokenGrid
from stgraph.tokens import VideoTokens
from stgraph.video.file import VideoInfo, probe_video
from stgraph.video.frames import iter_frames, sample_times
from stgraph.video.shot_cuts import VERSION as CUTS_VERSION
from stgraph.video.shot_cuts import ShotCuts
from stgraph.video.thumbnails import jpeg, thumbnail_signals

SUFFIXES = (
    *(".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
    *(".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
# Read if given by name; in folders they are mostly previews, or parts of videos.
ANIMATIONS = (".apng", ".gif", ".h264", ".hevc", ".mjpeg", ".y4m")
DUMP, QUERY = ".safetensors", ".query.safetensors"
DEFAULT_FRAMES = 64  # per video, if neither a number nor a rate is given
_ENDS = 1 << 20  # bytes at either end of a file used for its digest


class Extracted(NamedTuple):
    """A source's output for a video's frames.

    ``features`` [n, d] or [T, H, W, d] on ``grid``; ``signals`` of the video; ``query``, prompt-dependent signals;
    ``metadata``.
    """

    features: Array
    grid: TokenGrid
    signals: Mapping[str, Array]
    query: Mapping[str, Array]
    metadata: Mapping[str, Any]


class TokenSource(Protocol):
    """A source of tokens from frames: an encoder, or a whole VLM."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON values that determine the output; a dump made with different values is made again."""
        ...

    def extract(self, frames: Iterable[Array], times: Array, info: VideoInfo) -> Extracted:
        """The tokens of frames [h, w, 3] uint8, which are decoded as they are read; ``times`` is filled meanwhile."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Frames to take: ``n_frames`` at the centres of equal spans, or ``fps`` per second; each frame once if the video
    shows fewer. See ``sample_times``."""

    n_frames: int | None = None
    fps: float | None = None
    thumbnails: bool = True

    @property
    def settings(self) -> dict[str, Any]:
        """As JSON."""
        return {"frames": self.n_frames, "fps": self.fps, "thumbnails": self.thumbnails}


@dataclass
class FolderReport:
    """Report on a folder: dumps written, existing dumps, reasons for videos without one, and files read only if given
    by name."""

    made: list[Path] = field(default_factory=list)
    present: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)


def video_tokens(
    path: Path, source: TokenSource, sampling: Sampling, progress: Progress | None = None
) -> tuple[VideoTokens, Mapping[str, Array]]:
    """The tokens of a video, and prompt-dependent signals.

    Raises
    ------
    InputError
        the file cannot be read, or the source cannot use it; names the file
    """
    info = probe_video(path)
    try:
        times = sample_times(info, sampling.n_frames, sampling.fps)
    except InputError as error:
        raise InputError(f"cannot sample {path}: {error}") from None
    shown_at = np.empty(len(times))
    pictures: list[bytes] = []
    cuts = ShotCuts()

    def frames() -> Iterable[Array]:
        for i, (seconds, rgb) in enumerate(iter_frames(path, times, info=info)):
            shown_at[i] = seconds
            cuts.add(seconds, rgb)
            if sampling.thumbnails:
                pictures.append(jpeg(rgb))
            if progress is not None:
                progress(path.name, i / len(times))
            yield rgb

    found = source.extract(frames(), shown_at, info)
    T = found.grid.T
    each = ceil(len(times) / T)  # frames per time step; processors pad the last step with copies of the last frame
    if ceil(len(times) / each) != T:
        raise InputError(f"{path}: {len(times)} frames became {T} time steps; ask for a multiple of {T} frames")
    filled = np.pad(shown_at, (0, T * each - len(times)), mode="edge")
    signals = {**found.signals, "frame_time": filled.reshape(T, each).mean(axis=1), "shot_cuts_s": cuts.times}
    if sampling.thumbnails:
        signals |= thumbnail_signals(pictures[::each])
    metadata = {
        "title": path.stem,
        **_identity(path),
        "video": {
            "duration_s": info.duration_s,
            "fps": info.fps,
            "size": list(info.size),
            "codec": info.codec,
            "n_frames": info.n_frames,
            "sample_aspect_ratio": [info.sample_aspect_ratio.numerator, info.sample_aspect_ratio.denominator],
        },
        "n_frames": len(times),
        **found.metadata,
        "settings": _settings(source, sampling),
    }
    return VideoTokens(found.features, found.grid, signals, metadata), found.query


def dump_video(
    path: Path, output: Path, source: TokenSource, sampling: Sampling, progress: Progress | None = None
) -> bool:
    """Write the dump of a video, and next to it ``<stem>.query.safetensors`` for prompt-dependent signals.

    Returns
    -------
    whether anything was written; False if ``output`` already holds this file's dump with these settings

    Raises
    ------
    InputError
        see :func:`video_tokens`; or ``output`` cannot be written
    """
    check_dump_name(output)
    if is_present(path, output, source, sampling):
        return False
    tokens, query = video_tokens(path, source, sampling, progress)
    if query:  # before the dump, whose presence says that all is there
        save_query(query_path(output), query, tokens.metadata)
    tokens.save(output)
    return True


def check_dump_name(output: Path) -> None:
    """Raise InputError unless the path is valid for a dump and can be written."""
    if output.suffix != DUMP or output.name.endswith(QUERY):
        raise InputError(f"output is {output}; a dump's name ends in {DUMP} (and not in {QUERY})")
    check_writable(output)


def dump_folder(
    folder: Path, output: Path, source: TokenSource, sampling: Sampling, progress: Progress | None = None
) -> FolderReport:
    """Write the dumps of all videos under ``folder`` to the same places under ``output``.

    Failing videos are noted, like those that would share a dump; the others continue.

    Raises
    ------
    InputError
        there are no videos in the folder, or the output cannot be written
    MissingDependencyError
        a package that every video needs is missing
    """
    pairs, alike = folder_plan(folder, output)
    report = FolderReport(failed=alike, left_out=_found(folder, ANIMATIONS))
    for i, (path, target) in enumerate(pairs):

        def shown(label: str, share: float, done: int = i) -> None:
            if progress is not None:
                progress(f"{done + 1}/{len(pairs)} {label}", (done + share) / len(pairs))

        shown(path.name, 0.0)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            written = dump_video(path, target, source, sampling, shown)
        except MissingDependencyError:
            raise
        except Exception as error:  # whatever is wrong with one video must not end a run of hours
            report.failed[path] = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        else:
            (report.made if written else report.present).append(target)
    return report


def folder_plan(folder: Path, output: Path) -> tuple[list[tuple[Path, Path]], dict[Path, str]]:
    """(video, dump) for every video under ``folder``, in order, and the reasons for videos without a dump of their own.

    Raises
    ------
    InputError
        no video in the folder, or ``output`` is a file
    """
    found = _found(folder, SUFFIXES)
    if not found:
        raise InputError(
            f"{folder} holds no video; names that end in {', '.join(SUFFIXES)} are taken, "
            f"and single files given by name also in {', '.join(ANIMATIONS)}"
        )
    if output.exists() and not output.is_dir():
        raise InputError(f"output is the file {output}; the dumps of a folder go into a folder")
    sources: dict[Path, list[Path]] = {}
    for path in found:
        sources.setdefault(output / path.relative_to(folder).with_suffix(DUMP), []).append(path)
    alike = {
        path: f"{' and '.join(map(str, paths))} would both become {target}: skipped; rename all but one"
        for target, paths in sources.items()
        if len(paths) > 1
        for path in paths
    }
    return [(paths[0], target) for target, paths in sources.items() if len(paths) == 1], alike


def _found(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """All files under a folder with one of the suffixes, in order."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())


def query_path(output: Path) -> Path:
    """The path of a dump's query file."""
    return output.with_name(output.name.removesuffix(DUMP) + QUERY)


def is_present(path: Path, output: Path, source: TokenSource, sampling: Sampling) -> bool:
    """Whether ``output`` is a dump of this exact file with these settings."""
    try:
        _, metadata = container.read(output, "tokens")
        if source.settings.get("query"):
            _, asked = container.read(query_path(output), "query")
            if asked.get("settings") != metadata.get("settings"):
                return False
    except DumpError:
        return False
    wanted = {**_identity(path), "settings": _settings(source, sampling)}
    return all(metadata.get(key) == value for key, value in wanted.items())


def _settings(source: TokenSource, sampling: Sampling) -> dict[str, Any]:
    return {**source.settings, **sampling.settings, "shot_cuts": CUTS_VERSION}


def _identity(path: Path) -> dict[str, Any]:
    """Name, size and a digest of both ends of a file; reading a whole film would take longer than sampling it."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            digest = blake2b(stream.read(_ENDS), digest_size=16)
            stream.seek(max(_ENDS, size - _ENDS))
            digest.update(stream.read(_ENDS))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; give the path of a video file") from None
    return {"source": path.name, "source_bytes": size, "source_digest": digest.hexdigest()}
