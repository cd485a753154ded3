"""What a video file shows: how long, how many frames, of which size. What it says about itself is only a hint."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice

from stgraph.errors import InputError
from stgraph.vlm.display import displayed_size, is_sideways
from stgraph.vlm.timeline import Timeline, timeline
from stgraph.vlm.video_open import CONVERT, Path, decoded, opened, refuse_cut_off

_CHECKED = 12  # frames that are decoded to see whether the packets' times are theirs
_SAME_RATE = 0.01  # times are rounded, in Matroska to milliseconds: nearer than this, the rate that is said is meant


@dataclass(frozen=True)
class VideoInfo:
    """What a file shows.

    Attributes
    ----------
    duration_s : from the first frame shown to the end of the last
    fps : average frames a second
    size : (height, width) in pixels as displayed, after rotation; of the first frame, to which others are scaled
    codec : FFmpeg's name of it
    n_frames : how many frames are shown
    sample_aspect_ratio : width of a pixel by its height as displayed; 1 where the file does not say. Frames are not
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
    """Length, rate and size of a video, as decoding shows them.

    The file is read to its end, but of its frames only the first few are decoded, unless its packets carry no times or
    others than the frames (raw H.264 and HEVC, some AVI): then all are.

    Raises
    ------
    MissingDependencyError
        PyAV is not installed
    InputError
        no such file, no video in it, cut off, or damaged
    """
    with opened(path) as (container, stream):
        refuse_cut_off(path)
        first = list(islice(decoded(container, stream, path), _CHECKED))
        if not first:
            raise InputError(f"cannot read {path}: its video holds no frame that can be decoded. {CONVERT}")
        codec, said = stream.codec_context.name, float(stream.average_rate or 0)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
    shown = timeline(path, [frame.pts for frame in first])
    n_frames = len(shown.times)
    fps = n_frames / shown.end_s
    if abs(fps - said) <= _SAME_RATE * said:
        fps = said
    aspect = 1 / aspect if is_sideways(first[0]) else aspect
    return VideoInfo(shown.end_s, fps, displayed_size(first[0]), codec, n_frames, aspect, shown)
