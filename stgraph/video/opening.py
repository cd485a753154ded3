"""Opening video files with PyAV (FFmpeg): accepted and refused formats, and frames in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stgraph.errors import InputError, missing_dependency
from stgraph.video.file_kind import is_jpeg, kind_of

Path = str | os.PathLike[str]

# FFmpeg also reads lists that name other files, or addresses on a network, and goes there. Whatever a file is called,
# only these formats are looked for in it, and only files are opened.
FORMATS = (
    "3gp,3g2,apng,asf,av1,avi,dv,flv,gif,h264,hevc,ivf,m4a,m4v,matroska,mj2,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mxf,nut,"
    "obu,ogg,rm,vc1,webm,wtv,yuv4mpegpipe"
)
MAX_PIXELS = 1 << 26  # a frame; twice 8K. A few kilobytes can claim more, and each frame in work takes 4 bytes a pixel

# Decoders that fail before a key frame, and then refuse that too; others pass over what they cannot decode.
_FROM_KEYS = {"vp8", "vp9", "libdav1d", "libaom-av1", "av1"}

CONVERT = "Convert it to a plain file first: ffmpeg -i INPUT -c:v libx264 -an OUTPUT.mp4"


def need_av(feature: str = "reading videos") -> Any:
    """PyAV itself.

    Raises
    ------
    MissingDependencyError
        it is not installed
    """
    try:
        import av
    except ImportError:
        raise missing_dependency(feature, "av", "video") from None
    return av


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream.

    Raises
    ------
    MissingDependencyError
        PyAV is not installed
    InputError
        the file does not exist, is not a video (the message names its kind), or has an unsupported codec or size
    """
    av = need_av()
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise InputError(f"cannot read {path}: it {what}; give the path of a video file")
    try:
        kind = kind_of(path)
        if kind is not None:
            raise InputError(f"cannot read {path}: it is not a video but {kind}; give the path of a video")
        # FFmpeg tells a row of JPEG pictures from one by the name of the file.
        only = "mjpeg" if is_jpeg(path) else None
        # An absolute path: a relative one like http:/x/y.mp4 or concat:y.mp4 would be taken for an address.
        limits = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        container = av.open(os.path.abspath(os.fspath(path)), format=only, options=limits, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}. It is not a video that FFmpeg knows, or was cut off while "
            "it was written or copied; copy it again"
        ) from None
    with container:
        yield container, _video(container, path)


def _video(container: Any, path: Path) -> Any:
    """The first video stream, ready to be decoded."""
    from av.stream import Disposition

    covers = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
    streams = [s for s in container.streams.video if s not in covers]
    if not streams:
        there = sorted({s.type for s in container.streams if s not in covers}) + ["a cover picture"] * bool(covers)
        raise InputError(
            f"cannot read {path}: it holds no video, only {' and '.join(there) or 'nothing'}; give a file with a video "
            "in it"
        )
    coder = streams[0].codec_context
    if coder is None:
        raise InputError(f"cannot read {path}: its video is in a codec that this FFmpeg does not know. {CONVERT}")
    if coder.width * coder.height > MAX_PIXELS:
        raise InputError(
            f"cannot read {path}: its frames have {coder.width} x {coder.height} pixels; at most {MAX_PIXELS:,} "
            "are read. Scale it down first: ffmpeg -i INPUT -vf scale=1920:-2 OUTPUT.mp4"
        )
    coder.options = {"max_pixels": str(MAX_PIXELS)}  # frames can grow midway
    coder.thread_type = "AUTO"
    return streams[0]


def decoded(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """The frames from here on, in the order of display.

    Undecodable data before the first frame are skipped, since a recording may begin between two key frames.

    Raises
    ------
    InputError
        later data are damaged
    """
    import av

    waits, shown = stream.codec_context.name in _FROM_KEYS, False
    try:
        for packet in container.demux(stream):
            waits = waits and not packet.is_keyframe
            if waits and packet.size:
                continue
            try:
                frames = packet.decode()
            except (av.error.InvalidDataError, av.error.BlockingIOError):
                if shown:
                    raise
                continue
            for frame in frames:
                shown = True
                yield frame
    except av.FFmpegError as error:
        raise InputError(
            f"cannot decode {path}: {error.strerror or error}; it is damaged or truncated. {CONVERT}"
        ) from None
