"""When each frame of a video is shown: from the times of its packets, checked against decoding, or from decoding it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.errors import InputError
from stgraph.vlm.video_open import CONVERT, Path, decoded, opened

Array = np.ndarray[Any, Any]

_HELD_S = 10.0  # the last frame is held as long as is said, up to this or what all before it take
_SPLICE_S = 0.5  # times that fall back further were not reordered: another recording begins there
_RATE = 25.0  # of a stream that says neither times nor a rate, as FFmpeg assumes


@dataclass(frozen=True, eq=False)
class Timeline:
    """The frames that are shown.

    Attributes
    ----------
    times : [n] float64, seconds from the first, ascending
    end_s : when the last one ends
    pts : [n] int64, each frame's time in the stream's own unit, by which it is found again after seeking; None where
        frames carry no times or wrong ones, and can only be counted from the beginning
    keys : [k] ascending indices of key frames
    """

    times: Array
    end_s: float
    pts: Array | None
    keys: Array

    def index_at(self, instant: float) -> int:
        """Which frame is on display at ``instant``, in seconds from the first."""
        return max(int(np.searchsorted(self.times, instant + 1e-6, side="right")) - 1, 0)


def timeline(path: Path, first: Sequence[int | None]) -> Timeline:
    """The frames of a video, found without decoding it where the packets' times are those of its frames.

    What the header says of duration, start, rate and number is not used where packets or frames say it. Not shown is
    what an edit list discards, and what comes before the first frame that can be decoded.

    Parameters
    ----------
    first : ``pts`` of the first frames as decoded, against which the packets are checked

    Raises
    ------
    InputError
        the file cannot be read to its end, or is a picture
    """
    return _from_packets(path, first) or _from_frames(path)


def _from_packets(path: Path, first: Sequence[int | None]) -> Timeline | None:
    """From the packets' times; None where these are not the frames'."""
    import av

    times, held, keys, last_dts = array("q"), array("q"), bytearray(), None
    with opened(path) as (container, stream):
        unit, vp8 = float(stream.time_base), stream.codec_context.name == "vp8"
        try:
            for packet in container.demux(stream):
                if not packet.size or packet.is_discard:
                    continue
                if vp8 and not memoryview(packet)[0] & 0x10:
                    continue  # a frame that others refer to and that is not shown
                spliced = None not in (packet.dts, last_dts) and (last_dts - packet.dts) * unit > _SPLICE_S
                if packet.pts is None or spliced:
                    return None
                last_dts = packet.dts
                times.append(packet.pts)
                held.append(packet.duration or 0)
                keys.append(packet.is_keyframe)
        except av.FFmpegError as error:
            raise InputError(
                f"cannot read {path}: {error.strerror or error}; it is damaged or truncated. {CONVERT}"
            ) from None
        if len(times) == 1 and container.format.name in ("gif", "apng", "mjpeg"):
            raise InputError(
                f"cannot read {path}: it is no video file but a picture "
                f"({'JPEG' if container.format.name == 'mjpeg' else container.format.name.upper()}); give the path of "
                "a video"
            )
        rate = _rate(stream)
    order = np.argsort(np.array(times), kind="stable")
    pts = np.array(times)[order]
    shown = pts >= (first[0] if first and first[0] is not None else 0)
    pts, order = pts[shown], order[shown]
    if pts[: len(first)].tolist() != list(first) or np.any(np.diff(pts) == 0):
        return None
    return _line((pts - pts[0]) * unit, held[order[-1]] * unit, rate, pts, np.array(keys, bool)[order])


def _from_frames(path: Path) -> Timeline:
    """From decoding all of it."""
    times: list[int | None] = []
    keys, held = bytearray(), 0
    with opened(path) as (container, stream):
        unit, rate = float(stream.time_base), _rate(stream)
        for frame in decoded(container, stream, path):
            times.append(frame.pts)
            keys.append(frame.key_frame)
            held = frame.duration or 0
    known = [pts for pts in times if pts is not None]
    if not known:
        return _line(np.arange(len(times)) / rate, 1 / rate, rate, None, np.array(keys, bool))
    seconds = _repaired(times, unit, rate)
    ascending = len(known) == len(times) and bool(np.all(np.diff(known) > 0))
    return _line(seconds, held * unit, rate, np.array(known) if ascending else None, np.array(keys, bool))


def _repaired(times: Sequence[int | None], unit: float, rate: float) -> Array:
    """[n] ascending seconds of frames in the order of display, of which some carry no time, or that of another."""
    seconds = np.empty(len(times))
    latest, offset = None, 0.0
    for i, pts in enumerate(times):
        now = latest + 1 / rate if latest is not None else 0.0
        if pts is not None:
            if latest is not None and pts * unit + offset < latest - _SPLICE_S:
                offset = now - pts * unit
            now = pts * unit + offset
        seconds[i] = now
        latest = now if latest is None else max(latest, now)
    seconds.sort()  # some containers give them in the order of decoding
    seconds -= seconds[0]
    return seconds


def _line(times: Array, held_s: float, rate: float, pts: Array | None, is_key: Array) -> Timeline:
    typical = float(np.median(np.diff(times))) if len(times) > 1 else 1 / rate
    believed = 0 < held_s <= max(_HELD_S, float(times[-1]))
    return Timeline(times, float(times[-1]) + (held_s if believed else typical), pts, np.flatnonzero(is_key))


def _rate(stream: Any) -> float:
    return float(stream.average_rate or stream.guessed_rate or stream.base_rate or _RATE)
