"""Frame data carried by tokens: pictures, times, shot changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stgraph.errors import InputError
from stgraph.tokens import VideoTokens


def frame_pictures(tokens: VideoTokens) -> list[bytes] | None:
    """The JPEG file of each of T frames, or None if the tokens carry none.

    Raises
    ------
    InputError
        the lengths do not add up to the number of bytes
    """
    if "frame_jpeg" not in tokens.signals or "frame_jpeg_len" not in tokens.signals:
        return None
    lengths = tokens.signals["frame_jpeg_len"].astype(np.int64)
    whole = np.ascontiguousarray(tokens.signals["frame_jpeg"]).tobytes()
    if lengths.min(initial=0) < 0 or int(lengths.sum()) != len(whole):
        raise InputError(
            f"signal 'frame_jpeg_len' adds up to {int(lengths.sum()):,} bytes but 'frame_jpeg' holds {len(whole):,}; "
            "drop both signals, or make the dump again"
        )
    ends = np.cumsum(lengths)
    return [whole[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]


def frame_times(tokens: VideoTokens) -> list[float] | None:
    """Seconds of each frame, or None if the tokens carry no finite times."""
    times = tokens.signals.get("frame_time")
    return None if times is None or not np.isfinite(times).all() else [float(t) for t in times]


def first_frames_of_shots(tokens: VideoTokens) -> list[int] | None:
    """First frames after shot changes, ascending; None if the tokens carry no shot changes."""
    times, cuts = frame_times(tokens), tokens.signals.get("shot_cuts_s")
    if times is None or cuts is None:
        return None
    frames = np.searchsorted(times, cuts, side="left")
    return sorted({int(f) for f in frames if 0 < f < tokens.grid.T})


def telling_frames(tokens: VideoTokens, weight: Sequence[float], count: int) -> list[int]:
    """``count`` ascending frames as an overview: the one with the largest ``weight`` [T] in each of ``count`` equal
    stretches.

    Examples
    --------
    >>> import stgraph
    >>> telling_frames(stgraph.sample(), [0.0] * 40, 4)
    [0, 10, 20, 30]
    """
    values = np.asarray(weight, np.float64)
    stretches = np.array_split(np.arange(tokens.grid.T), min(count, tokens.grid.T))
    return [int(part[np.argmax(values[part])]) for part in stretches]
