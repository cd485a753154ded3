"""The clip of the tests, and files made from it that are hard to read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REASON = "needs PyAV: pip install -e '.[video]'"
av: Any = pytest.importorskip("av", reason=REASON)

CLIP = (
    Path(__file__).parents[1] / "data" / "bbb_6s.mp4"
)  # 147 frames at 24 a second, 320 x 180; key frames at 0, 1.9, 4.0 s
N_FRAMES, RATE = 147, 24
CUTS_S = (1.875, 4.042)

Array = np.ndarray[Any, Any]


def remuxed(path: Path, **options: str) -> Path:
    """The clip in the container of the suffix, not encoded again."""
    with av.open(str(CLIP)) as source, av.open(str(path), "w", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


def encoded(path: Path, pictures: list[Array], times: list[float], key_every: int = 12) -> Path:
    """Pictures at their times, to a millisecond."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width, _ = pictures[0].shape
        stream.pix_fmt, stream.gop_size = "yuv420p", key_every
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def turned(path: Path, quarter_turns: int) -> Path:
    """The clip with a note that it is to be displayed turned clockwise, as phones write it."""
    data = CLIP.read_bytes()
    one = 1 << 16
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, one << 14)
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter_turns]
    matrix = struct.pack(">9i", cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, one << 14)
    at = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:at] + matrix + data[at + len(upright) :])
    return path


def silent_audio(path: Path) -> Path:
    """A second of silence, and no video."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def grey(level: int, height: int = 32, width: int = 48) -> Array:
    """A picture of one grey."""
    return np.full((height, width, 3), level, np.uint8)


def _cut_short(path: Path) -> Path:
    whole = remuxed(path, movflags="faststart")
    whole.write_bytes(whole.read_bytes()[:25_000])
    return path


def _headless(path: Path) -> Path:
    path.write_bytes(CLIP.read_bytes()[:25_000])
    return path


def _garbled(path: Path) -> Path:
    data = bytearray(remuxed(path, movflags="faststart").read_bytes())
    data[20_000:30_000] = np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8).tobytes()
    path.write_bytes(bytes(data))
    return path


def _text(path: Path) -> Path:
    path.write_text("no video\n" * 100)
    return path


# name -> (how to make it, what the error says)
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "truncated.mp4": (_cut_short, "truncated"),
    "truncated.mkv": (lambda path: _shortened(remuxed(path)), "truncated"),
    "headless.mp4": (_headless, "cut off"),
    "garbled.mp4": (_garbled, "damaged or truncated"),
    "text.mp4": (_text, "it is not a video but a text file"),
    "sound.m4a": (silent_audio, "holds no video, only audio"),
}


def _shortened(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:25_000])
    return path
