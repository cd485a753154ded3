"""Frames of a video file, decoded by PyAV (FFmpeg): uniform sampling in time, by seeking or from beginning to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from stgraph.errors import InputError
from stgraph.vlm.video_file import CONVERT, Path, VideoInfo, decoded, opened, probe_video

Array = np.ndarray[Any, Any]

MAX_FRAMES = 1_000_000  # of one sample: 11 hours at 24 a second; a file may claim any number
SEEK_GAP_S = 4.0  # encoders set a key frame every 2 to 10 s: below, seeking decodes the same frames again


@dataclass(frozen=True, eq=False)
class Frames:
    """Sampled frames of a video.

    Attributes
    ----------
    rgb : [T, h, w, 3] uint8
    times : [T] float64, presentation time of each frame in seconds from the first frame of the video
    fps : average frames a second of the whole video, not of the sample
    size : (h, w)
    """

    rgb: Array
    times: Array
    fps: float
    size: tuple[int, int]


def sample_times(info: VideoInfo, n_frames: int | None = None, fps: float | None = None) -> list[float]:
    """Seconds at which a video is sampled: the centres of ``n_frames`` equal spans, or 0, 1/fps, 2/fps, ...

    Raises
    ------
    InputError
        neither or both are given, out of range, or they ask for more frames than the video holds
    """
    if (n_frames is None) == (fps is None):
        raise InputError(f"n_frames is {n_frames} and fps is {fps}; give one of them")
    if n_frames is not None:
        if not isinstance(n_frames, int) or isinstance(n_frames, bool) or n_frames < 1:
            raise InputError(f"n_frames is {n_frames!r}; it must be an integer of at least 1")
        if n_frames > MAX_FRAMES:
            raise InputError(f"n_frames is {n_frames:,}; at most {MAX_FRAMES:,} are taken")
        times = [(i + 0.5) * info.duration_s / n_frames for i in range(n_frames)]
    else:
        assert fps is not None
        if not 0 < fps < float("inf"):
            raise InputError(f"fps is {fps!r}; it must be a positive number of frames a second")
        if info.duration_s * fps > info.n_frames + 1:
            raise InputError(f"fps is {fps:g}, but the video has {info.fps:g} frames a second; ask for at most that")
        if info.duration_s * fps > MAX_FRAMES:
            raise InputError(
                f"fps is {fps:g}, which makes {info.duration_s * fps:,.0f} frames of {info.duration_s:,.0f} s; at most "
                f"{MAX_FRAMES:,} are taken: ask for fewer a second, or for a number of frames"
            )
        times = [i / fps for i in range(max(1, ceil(info.duration_s * fps - 1e-6)))]
    if len(times) > info.n_frames:
        raise InputError(
            f"{len(times)} frames were asked for, but the video holds {info.n_frames} ({info.duration_s:.2f} s at "
            f"{info.fps:g} a second); ask for at most {info.n_frames}"
        )
    return times


def iter_frames(path: Path, times: Sequence[float], *, seek: bool | None = None) -> Iterator[tuple[float, Array]]:
    """The frame on display at each of the ascending ``times``, one after the other.

    Parameters
    ----------
    times : seconds from the first frame of the video; see :func:`sample_times`
    seek : jump to the key frame before each instant instead of decoding everything. By default where the instants lie
        more than 4 s apart. Both give the same frames.

    Yields
    ------
    (seconds, [h, w, 3] uint8)
        presentation time and RGB picture of the frame, rotated as it is meant to be displayed

    Raises
    ------
    InputError
        the file is truncated or corrupt at a frame that is needed
    """
    gaps = np.diff(times)
    sparse = bool(gaps.size and gaps.mean() > SEEK_GAP_S) if seek is None else seek
    with opened(path) as (container, stream):
        shown = _Position(container, stream, path)
        for instant in times:
            frame = shown.at(instant, sparse)
            if frame.is_corrupt:
                raise InputError(f"cannot decode {path} at {instant:.2f} s: the data are damaged. {CONVERT}")
            yield shown.seconds(frame), _picture(frame)


def read_frames(
    path: Path, n_frames: int | None = None, fps: float | None = None, *, seek: bool | None = None
) -> Frames:
    """Frames at even distances: the centres of ``n_frames`` equal spans, or ``fps`` a second from the first on.

    Raises
    ------
    MissingDependencyError, InputError
        see :func:`probe_video`, :func:`sample_times`, :func:`iter_frames`
    """
    info = probe_video(path)
    try:
        times = sample_times(info, n_frames, fps)
    except InputError as error:
        raise InputError(f"cannot sample {path}: {error}") from None
    found = list(iter_frames(path, times, seek=seek))
    return Frames(np.stack([rgb for _, rgb in found]), np.array([t for t, _ in found]), info.fps, info.size)


class _Position:
    """A place in an opened video that moves forward."""

    def __init__(self, container: Any, stream: Any, path: Path) -> None:
        self._container, self._stream, self._path = container, stream, path
        self._frames = decoded(container, stream, path)
        self._next = next(self._frames, None)
        if self._next is None:
            raise InputError(f"cannot read {path}: its video holds no frame that can be decoded. {CONVERT}")
        self._shown = self._next
        self._start = float(self._next.time)

    def seconds(self, frame: Any) -> float:
        """Presentation time from the first frame of the video."""
        return float(frame.time) - self._start

    def at(self, instant: float, sparse: bool) -> Any:
        """The frame on display at ``instant``, which is not before the last one asked for."""
        if sparse and instant - self.seconds(self._shown) > SEEK_GAP_S / 2:
            self._jump(instant)
        while self._next is not None and self.seconds(self._next) <= instant + 1e-6:
            self._shown, self._next = self._next, next(self._frames, None)
        if self._next is None:
            rate = float(self._stream.average_rate or 0)
            held = float((self._shown.duration or 0) * (self._shown.time_base or 0))
            end = self.seconds(self._shown) + max(held, 2 / rate if rate else 1.0)
            if instant > end:
                raise InputError(
                    f"cannot read {self._path} at {instant:.2f} s: its frames end at {end:.2f} s, though it says it is "
                    "longer. It is truncated: copy it again, or cut it to what is there: "
                    "ffmpeg -i INPUT -c copy OUTPUT.mp4"
                )
        return self._shown

    def _jump(self, instant: float) -> None:
        """Go on from a key frame at or before ``instant``; where the file cannot be sought in, stay."""
        import av

        back = 0.0
        while True:
            target = max(instant - back, 0.0)
            try:
                offset = int((target + self._start) / self._stream.time_base)
                self._container.seek(offset, stream=self._stream)
            except av.FFmpegError:
                return
            frames = decoded(self._container, self._stream, self._path)
            # What is displayed before the key frame refers to frames that were not decoded.
            key = next((frame for frame in frames if frame.key_frame or target == 0), None)
            if key is not None and (self.seconds(key) <= instant or target == 0):
                self._frames, self._shown, self._next = frames, key, key
                return
            if target == 0:
                return  # not even the beginning can be decoded from there
            # Indices are in decoding order, in which a key frame can stand before an instant and be displayed after it.
            back = 2 * back + 1.0


def _picture(frame: Any) -> Array:
    """[h, w, 3] uint8, rotated as the file asks for."""
    rgb = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90))) if frame.rotation else rgb
