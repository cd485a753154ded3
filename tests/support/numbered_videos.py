"""Videos whose frames show their own number as a grey, written with times that are hard to read."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from videos import av, grey

Array = np.ndarray[Any, Any]

N = 40
EVEN = tuple(i / 25 for i in range(N))
UNEVEN = (*(i / 25 for i in range(30)), *(1.2 + 0.5 * i for i in range(10)))  # then slides
LATE = tuple(7.4 + time for time in EVEN)
ENCODERS = {
    "libx265": {"x265-params": "log-level=none:pools=1"},  # at 48 x 32 it overwrites memory that is not its own
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libx264": {"preset": "veryfast"},
}
TURNS = {  # what is done to a picture -> (a, b, c, d) of the display matrix
    "upright": (1, 0, 0, 1),
    "90": (0, 1, -1, 0),
    "180": (-1, 0, 0, -1),
    "270": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transversed": (0, -1, -1, 0),
}


def numbered(
    path: Path,
    codec: str,
    times: Sequence[float] = EVEN,
    *,
    dropped: int = 0,
    shift_s: float = 0.0,
    size: tuple[int, int] = (64, 96),
    aspect: Fraction | None = None,
    key_every: int = 12,
    n_between: int = 2,
    coder: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Frame i is grey (20 + 5 i) and shown at ``times[i]``.

    ``dropped`` packets are left out at the beginning; ``shift_s`` is added to all times, and what comes before 0 is
    trimmed by an edit list where the container has such; ``n_between`` B-frames; ``options`` of the container.
    """
    with av.open(str(path), "w", options=options) as target:
        stream = target.add_stream(codec, rate=25, options={**ENCODERS.get(codec, {}), **(coder or {})})
        stream.height, stream.width = size
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        stream.gop_size, stream.codec_context.time_base = key_every, Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if codec.startswith("mpeg2"):
            stream.codec_context.time_base = Fraction(1, 25)
        if codec in ("libx264", "libx265", "mpeg4", "mpeg2video"):
            stream.max_b_frames = n_between
        packets = []
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(grey(20 + 5 * i, *size), format="rgb24")
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(time / frame.time_base)
            packets += stream.encode(frame)
        for packet in (packets + stream.encode(None))[dropped:]:
            if shift_s:
                moved = round(shift_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
            packet.stream = stream
            target.mux(packet)
    return path


def numbers(rgb: Array) -> list[int]:
    """What frames [T, h, w, 3] show."""
    return [round((float(picture.mean()) - 20) / 5) for picture in rgb]


def played(path: Path) -> list[tuple[float | None, int]]:
    """(seconds as decoded, number) of all frames, by decoding all of them."""
    found, format_ = [], "mjpeg" if path.suffix == ".mjpeg" else None
    with av.open(str(path), format=format_) as container:
        for packet in container.demux(video=0):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                assert not found
                packet.stream.codec_context.flush_buffers()
                continue
            found += [(frame.time, *numbers(frame.to_ndarray(format="rgb24")[None])) for frame in frames]
    return found


def turned_any(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """An MP4 file's display matrix replaced, in place."""
    data, one = path.read_bytes(), 1 << 16
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, one << 14)
    at = data.index(upright, data.index(b"tkhd"))
    a, b, c, d = (one * value for value in matrix)
    path.write_bytes(data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, one << 14) + data[at + len(upright) :])
    return path


def lying(path: Path, duration: int) -> Path:
    """All durations in the headers of an MP4 or Matroska file replaced, in place."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".mkv":
        at = data.index(b"\x44\x89\x88") + 3
        data[at : at + 8] = struct.pack(">d", duration)
    else:
        for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
            at = data.index(box) + offset
            data[at : at + 4] = struct.pack(">I", duration)
    path.write_bytes(bytes(data))
    return path
