"""Facts about a video file as decoded: length, number and size of frames. The file's own statements are only hints."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import Any

from stgraph.errors import InputError
from stgraph.video.display import displayed_size, is_sideways
from stgraph.video.file_kind import missing_bytes
from stgraph.video.opening import CONVERT, Path, decoded, opened
from stgraph.video.timeline import Timeline, timeline

_CHECKED = 12  # frames decoded to check that the packets' times are theirs
_SAME_RATE = 0.01  # times are rounded, in Matroska to milliseconds: nearer than this, the rate that is said is meant


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video as decoded.

    Attributes
    ----------
    duration_s : from the first frame shown to the end of the last
    fps : average frames per second
    size : (height, width) of the first frame in pixels as displayed, after rotation; other frames are scaled to it
    codec : FFmpeg's name of the codec
    n_frames : number of frames shown
    sample_aspect_ratio : pixel width over height as displayed; 1 if the file does not state it. Frames are not
        stretched by it
    timeline : when each frame is shown
    """

    duration_s: float
    fps: float
    size: tuple[int, int]
    codec: str
    n_frames: int
    sample_aspect_ratio: Fraction = Fraction(1)
    timeline: Timeline | None = field(default=None, compare=False, repr=False)


def probe_video(path: Path) -> VideoInfo:
    """Length, rate and size of a video, as found by decoding.

    The file is read to its end, but only its first few frames are decoded, unless packets carry no times or times other
    than the frames' (raw H.264 and HEVC, some AVI); then all are.

    Raises
    ------
    MissingDependencyError
        PyAV is not installed
    InputError
        the file does not exist, holds no video, is cut off, or is damaged
    """
    with opened(path) as (container, stream):
        first = list(islice(decoded(container, stream, path), _CHECKED))
        if not first:
            raise InputError(f"cannot read {path}: its video holds no frame that can be decoded. {CONVERT}")
        codec, said, said_s = stream.codec_context.name, float(stream.average_rate or 0), _said_s(container, stream)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
    shown = timeline(path, [frame.pts for frame in first])
    n_frames = len(shown.times)
    lost_s, missing = said_s - shown.end_s - max(first[0].time or 0.0, 0.0), missing_bytes(path)
    if missing and lost_s > shown.end_s / n_frames / 2:
        raise InputError(
            f"cannot read {path}: its frames end {lost_s:.2f} s before it says they do, and its last {missing:,} bytes "
            "are missing. It is truncated: copy it again, or cut it to what is there: "
            "ffmpeg -i INPUT -c copy OUTPUT.mkv"
        )
    fps = n_frames / shown.end_s
    if abs(fps - said) <= _SAME_RATE * said:
        fps = said
    aspect = 1 / aspect if is_sideways(first[0]) else aspect
    return VideoInfo(shown.end_s, fps, displayed_size(first[0]), codec, n_frames, aspect, shown)


def _said_s(container: Any, stream: Any) -> float:
    """The video's length as stated by the file."""
    counted = stream.frames / float(stream.average_rate) if stream.average_rate else 0.0  # FFmpeg cuts durations of AVI
    known = stream.duration is not None
    return max(float(stream.duration * stream.time_base) if known else (container.duration or 0) / 1e6, counted)
