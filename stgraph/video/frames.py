"""Frames of a video file, decoded by PyAV (FFmpeg): uniform sampling in time, by seeking or sequentially."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.video.display import picture
from stgraph.video.file import VideoInfo, probe_video
from stgraph.video.opening import CONVERT, Path
from stgraph.video.position import Position

MAX_FRAMES = 1_000_000  # per sample: 11 hours at 24 frames per second


@dataclass(frozen=True, eq=False)
class Frames:
    """Sampled frames of a video.

    Attributes
    ----------
    rgb : [T, h, w, 3] uint8; T as requested, or all frames if the video shows fewer
    times : [T] float64, presentation time of each frame in seconds from the first frame of the video
    fps : average frames per second of the whole video, not of the sample
    size : (h, w)
    """

    rgb: Array
    times: Array
    fps: float
    size: tuple[int, int]


def sample_times(info: VideoInfo, n_frames: int | None = None, fps: float | None = None) -> list[float]:
    """Seconds at which a video is sampled: the centres of ``n_frames`` equal spans, or 0, 1/fps, 2/fps, ...

    If these are at least as many as the frames shown, each frame is taken once, at its own time, so that there are
    ``info.n_frames`` times.

    Raises
    ------
    InputError
        neither or both are given, or out of range
    """
    if (n_frames is None) == (fps is None):
        raise InputError(f"n_frames is {n_frames} and fps is {fps}; give one of them")
    if n_frames is not None:
        if not isinstance(n_frames, int) or isinstance(n_frames, bool) or n_frames < 1:
            raise InputError(f"n_frames is {n_frames!r}; it must be an integer of at least 1")
        count = n_frames
    else:
        assert fps is not None
        if not 0 < fps < float("inf"):
            raise InputError(f"fps is {fps!r}; it must be a positive number of frames per second")
        count = max(1, ceil(min(info.duration_s * fps, 2.0 * MAX_FRAMES) - 1e-6))
    taken = min(count, info.n_frames)
    if taken > MAX_FRAMES:
        raise InputError(
            f"{'n_frames' if fps is None else 'fps'} is {n_frames if fps is None else fps:,}, which makes {taken:,} "
            f"frames of {info.duration_s:,.0f} s; at most {MAX_FRAMES:,} are taken: ask for fewer"
        )
    if count >= info.n_frames and info.timeline is not None:
        return [float(time) for time in info.timeline.times]
    if fps is not None:
        return [i / fps for i in range(taken)]
    return [(i + 0.5) * info.duration_s / taken for i in range(taken)]


def iter_frames(
    path: Path, times: Sequence[float], *, seek: bool | None = None, info: VideoInfo | None = None
) -> Iterator[tuple[float, Array]]:
    """The frame on display at each of the ascending ``times``, in turn.

    Parameters
    ----------
    times : seconds from the first frame of the video; see :func:`sample_times`
    seek : jump to the key frame before each instant always (True), never (False), or where it saves decoding (None).
        All give the same frames
    info : result of :func:`probe_video` for this file, if known already

    Yields
    ------
    (seconds, [h, w, 3] uint8)
        presentation time and RGB picture of the frame, rotated and mirrored for display, and scaled to the size of the
        first frame if the size changes

    Raises
    ------
    InputError
        the file is truncated or corrupt at a required frame
    """
    info = probe_video(path) if info is None else info
    assert info.timeline is not None
    with Position(path, info.timeline, seek) as position:
        for instant in times:
            index, frame = position.at(info.timeline.index_at(instant))
            if frame.is_corrupt:
                raise InputError(
                    f"cannot decode {path} at {instant:.2f} s: it is damaged or truncated there. {CONVERT}"
                )
            yield float(info.timeline.times[index]), picture(frame, info.size)


def read_frames(
    path: Path,
    n_frames: int | None = None,
    fps: float | None = None,
    *,
    seek: bool | None = None,
    info: VideoInfo | None = None,
) -> Frames:
    """Evenly spaced frames: the centres of ``n_frames`` equal spans, or ``fps`` per second from the first on.

    If more are requested than the video shows, each of its frames is taken once.

    Raises
    ------
    MissingDependencyError, InputError
        see :func:`probe_video`, :func:`sample_times`, :func:`iter_frames`
    """
    info = probe_video(path) if info is None else info
    try:
        times = sample_times(info, n_frames, fps)
    except InputError as error:
        raise InputError(f"cannot sample {path}: {error}") from None
    found = list(iter_frames(path, times, seek=seek, info=info))
    return Frames(np.stack([rgb for _, rgb in found]), np.array([t for t, _ in found]), info.fps, info.size)
