"""Packets of a video's frames, read without decoding."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.video.opening import CONVERT, Path, opened

_RATE = 25.0  # FFmpeg's assumption for a stream with neither times nor a rate
_PICTURES = {"mjpeg": "JPEG", "gif": "GIF", "apng": "PNG"}  # formats that are a video only where more than one follows


@dataclass(frozen=True, eq=False)
class Packets:
    """Packets of the shown frames, in decoding order.

    Attributes
    ----------
    pts : [n] int64, presentation times in ``unit``; None if any is missing
    dts : n decoding times, as far as stated
    held : [n] int64, durations; 0 if not stated
    is_key : [n] bool
    unit : in seconds
    rate : frames per second stated by the stream, or 25
    """

    pts: Array | None
    dts: list[int | None]
    held: Array
    is_key: Array
    unit: float
    rate: float


def read_packets(path: Path) -> Packets:
    """Read a file to its end, without packets discarded by an edit list and an incomplete last packet.

    Raises
    ------
    InputError
        the file is damaged, or holds only a picture
    """
    import av

    pts, held, is_key = array("q"), array("q"), bytearray()
    dts: list[int | None] = []
    cut_short = False
    with opened(path) as (container, stream):
        is_vp8 = stream.codec_context.name == "vp8"
        try:
            for packet in container.demux(stream):
                if not packet.size or packet.is_discard:
                    continue
                if is_vp8 and not memoryview(packet)[0] & 0x10:
                    continue  # a frame that others refer to and that is not shown
                dts.append(packet.dts)
                held.append(packet.duration or 0)
                is_key.append(packet.is_keyframe)
                if packet.pts is not None:
                    pts.append(packet.pts)
                cut_short = packet.is_corrupt
        except av.FFmpegError as error:
            raise InputError(
                f"cannot read {path}: {error.strerror or error}; it is damaged or truncated. {CONVERT}"
            ) from None
        unit, rate, kind = float(stream.time_base), stream_rate(stream), _PICTURES.get(container.format.name)
    if len(dts) == 1 and kind is not None:
        raise InputError(f"cannot read {path}: it is not a video but a picture ({kind}); give the path of a video")
    if cut_short and len(dts) > 1 and len(pts) == len(dts):
        del pts[-1], dts[-1], held[-1], is_key[-1]  # the file ends inside the last packet
    known = np.array(pts, np.int64) if len(pts) == len(dts) else None
    return Packets(known, dts, np.array(held, np.int64), np.array(is_key, bool), unit, rate)


def stream_rate(stream: Any) -> float:
    """Frames per second stated by a stream, or 25."""
    return float(stream.average_rate or stream.guessed_rate or stream.base_rate or _RATE)
