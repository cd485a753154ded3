"""Video files, opened by PyAV (FFmpeg): what they say about themselves, and their frames in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stgraph.errors import InputError, missing_dependency

Path = str | os.PathLike[str]

# FFmpeg also reads lists that name other files, or addresses on a network, and goes there. Whatever a file is called,
# only these formats are looked for in it, and only files are opened.
FORMATS = (
    "3gp,3g2,apng,asf,av1,avi,dv,flv,gif,h264,hevc,ivf,m4a,m4v,matroska,mj2,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mxf,nut,"
    "obu,ogg,rm,vc1,webm,wtv,yuv4mpegpipe"
)
MAX_PIXELS = 1 << 26  # a frame; twice 8K. A few kilobytes can claim more, and each frame in work takes 4 bytes a pixel

CONVERT = "Convert it to a plain file first: ffmpeg -i INPUT -c:v libx264 -an OUTPUT.mp4"


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about its video.

    Attributes
    ----------
    duration_s : from the first frame to the end of the last
    fps : average frames a second
    size : (height, width) in pixels as displayed, after rotation
    codec : FFmpeg's name of it
    n_frames : how many frames it holds, exact where the file counts them, else from duration and rate
    """

    duration_s: float
    fps: float
    size: tuple[int, int]
    codec: str
    n_frames: int


def probe_video(path: Path) -> VideoInfo:
    """Length, rate and size of a video.

    Raises
    ------
    MissingDependencyError
        PyAV is not installed
    InputError
        no such file, no video in it, or one whose length cannot be found
    """
    with opened(path) as (container, stream):
        n_frames, fps = stream.frames, float(stream.average_rate or 0)
        known = stream.duration is not None
        duration = float(stream.duration * stream.time_base) if known else 0.0
        first = next(decoded(container, stream, path), None)
        if first is None:
            raise InputError(f"cannot read {path}: its video holds no frame that can be decoded. {CONVERT}")
        sideways = first.rotation % 180 != 0
        size = (first.width, first.height) if sideways else (first.height, first.width)
        codec = stream.codec_context.name
    if not known:
        duration, n_frames = _measured(path)
    if not duration > 0:
        raise InputError(f"cannot read {path}: its length is {duration:g} s. {CONVERT}")
    n_frames = n_frames or max(1, round(duration * fps))
    return VideoInfo(duration, fps or n_frames / duration, size, codec, n_frames)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream."""
    try:
        import av
    except ImportError:
        raise missing_dependency("reading videos", "av", "video") from None
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise InputError(f"cannot read {path}: it {what}; give the path of a video file")
    try:
        # An absolute path: a relative one like http:/x/y.mp4 or concat:y.mp4 would be taken for an address.
        limits = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        container = av.open(os.path.abspath(os.fspath(path)), options=limits, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}. It is no video file, or one that was cut off while it was "
            "written or copied; copy it again"
        ) from None
    with container:
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            there = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise InputError(f"cannot read {path}: it holds no video, only {there}; give a file with a video in it")
        coder = streams[0].codec_context
        if coder is None:
            raise InputError(f"cannot read {path}: its video is in a codec that this FFmpeg does not know. {CONVERT}")
        if coder.width * coder.height > MAX_PIXELS:
            raise InputError(
                f"cannot read {path}: its frames have {coder.width} x {coder.height} pixels; at most {MAX_PIXELS:,} "
                "are read. Scale it down first: ffmpeg -i INPUT -vf scale=1920:-2 OUTPUT.mp4"
            )
        coder.options = {"max_pixels": str(MAX_PIXELS)}  # frames can grow on the way
        coder.thread_type = "AUTO"
        yield container, streams[0]


def decoded(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """The frames from here on, in the order of display."""
    import av

    try:
        for frame in container.decode(stream):
            if frame.time is None:
                raise InputError(f"cannot read {path}: its frames carry no times. {CONVERT}")
            yield frame
    except av.FFmpegError as error:
        raise InputError(
            f"cannot decode {path}: {error.strerror or error}; it is damaged or truncated. {CONVERT}"
        ) from None


def _measured(path: Path) -> tuple[float, int]:
    """(seconds, number of frames) from the packets' times, for containers that do not say how long each stream is."""
    with opened(path) as (container, stream):
        starts, ends, last_of_any = [], [], 0.0
        for packet in container.demux():
            if packet.pts is None:
                continue
            start = float(packet.pts * packet.time_base)
            end = start + float((packet.duration or 0) * packet.time_base)
            last_of_any = max(last_of_any, end)
            if packet.stream is stream:
                starts.append(start)
                ends.append(end)
        promised = (container.duration or 0) / 1e6
        if promised > last_of_any + 1.0:
            raise InputError(
                f"cannot read {path}: it says it is {promised:.2f} s long, but ends after {last_of_any:.2f} s. "
                "It is truncated: copy it again, or cut it to what is there: ffmpeg -i INPUT -c copy OUTPUT.mkv"
            )
        if not starts:
            raise InputError(f"cannot read {path}: its frames carry no times. {CONVERT}")
        return max(ends) - min(starts), len(starts)
