"""Timelines: presentation times of a video's frames, from packet times checked against decoding, or from decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stgraph.aliases import Array
from stgraph.video.opening import Path, decoded, opened
from stgraph.video.packets import Packets, read_packets, stream_rate

_HELD_S = 10.0  # the last frame is held as long as is said, up to this or what all before it take
_SPLICE_S = 0.5  # larger jumps back are not reordering: another recording begins there


@dataclass(frozen=True, eq=False)
class Timeline:
    """The frames that are shown.

    Attributes
    ----------
    times : [n] float64, seconds from the first, ascending
    end_s : end of the last frame, in seconds
    pts : [n] int64, each frame's time in the stream's own unit, which identifies it after seeking; None if frames carry
        no times or wrong ones, and can only be counted from the beginning
    keys : [k] ascending indices of key frames
    """

    times: Array
    end_s: float
    pts: Array | None
    keys: Array

    def index_at(self, instant: float) -> int:
        """Index of the frame on display at ``instant``, in seconds from the first."""
        return max(int(np.searchsorted(self.times, instant + 1e-6, side="right")) - 1, 0)


def timeline(path: Path, first: Sequence[int | None]) -> Timeline:
    """The frames of a video, found without decoding if the packets' times are those of its frames.

    The header's duration, start, rate and number of frames are not used if packets or frames state them. Frames
    discarded by an edit list, and those before the first decodable one, are not shown.

    Parameters
    ----------
    first : ``pts`` of the first frames as decoded, against which the packets are checked

    Raises
    ------
    InputError
        the file cannot be read to its end, or is a picture
    """
    packets = read_packets(path)
    return _from_packets(packets, first) or _from_frames(path, _is_spliced(packets))


def _from_packets(packets: Packets, first: Sequence[int | None]) -> Timeline | None:
    """The timeline from the packets' times; None if these are not the frames'."""
    if packets.pts is None or first[0] is None or _is_spliced(packets):
        return None
    order = np.argsort(packets.pts, kind="stable")
    order = order[packets.pts[order] >= first[0]]
    pts = packets.pts[order]
    if pts[: len(first)].tolist() != list(first) or np.any(np.diff(pts) == 0):
        return None
    held_s = float(packets.held[order[-1]]) * packets.unit
    return _line((pts - pts[0]) * packets.unit, held_s, packets.rate, pts, packets.is_key[order])


def _from_frames(path: Path, spliced: bool) -> Timeline:
    """The timeline from decoding the whole file."""
    found: list[int | None] = []
    keys, held = bytearray(), 0
    with opened(path) as (container, stream):
        unit, rate = float(stream.time_base), stream_rate(stream)
        for frame in decoded(container, stream, path):
            found.append(frame.pts)
            keys.append(frame.key_frame)
            held = frame.duration or 0
    is_key = np.array(keys, bool)
    pts = np.array(found) if None not in found else None
    if pts is not None and np.all(np.diff(pts) > 0):
        return _line((pts - pts[0]) * unit, held * unit, rate, pts, is_key)
    return _line(_repaired(found, unit, rate, spliced), held * unit, rate, None, is_key)


def _repaired(found: Sequence[int | None], unit: float, rate: float, spliced: bool) -> Array:
    """[n] ascending seconds of frames in display order, some of which carry no time, or another frame's."""
    seconds = np.empty(len(found))
    latest, offset = 0.0, 0.0
    for i, pts in enumerate(found):
        due = latest + 1 / rate if i else 0.0
        now = due if pts is None else pts * unit + offset
        if i and spliced and now < latest - _SPLICE_S:
            offset += due - now
            now = due
        seconds[i] = now
        latest = max(latest, now) if i else now
    seconds.sort()  # AVI has the right times, but on the wrong frames, and the last ones twice
    gaps = np.diff(seconds)
    typical = float(np.median(gaps[gaps > 0])) if np.any(gaps > 0) else 1 / rate
    later = np.append(seconds, np.inf)
    for i in (np.flatnonzero(gaps == 0) + 1).tolist():
        after = later[np.searchsorted(later, seconds[i - 1], side="right")]
        seconds[i] = min(seconds[i - 1] + typical, (seconds[i - 1] + after) / 2)
    seconds -= seconds[0]
    return seconds


def _is_spliced(packets: Packets) -> bool:
    """Whether a second recording follows the first: decoding times of successive packets then go back."""
    known = [one for one in packets.dts if one is not None]
    return any((before - after) * packets.unit > _SPLICE_S for before, after in pairwise(known))


def _line(times: Array, held_s: float, rate: float, pts: Array | None, is_key: Array) -> Timeline:
    gaps = np.diff(times) if len(times) > 1 else np.array([1 / rate])
    believed = gaps.min() / 2 <= held_s <= max(_HELD_S, float(times[-1]))
    end_s = float(times[-1]) + (held_s if believed else float(np.median(gaps)))
    return Timeline(times, end_s, pts, np.flatnonzero(is_key))
