"""Thumbnails: small JPEG pictures of frames in a dump, so that tokens can be viewed without the video."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.video.opening import need_av

LONGEST = 320  # pixels along the longer side


def jpeg(rgb: Array) -> bytes:
    """One [h, w, 3] uint8 frame as JPEG, at most 320 pixels long.

    Raises
    ------
    MissingDependencyError
        PyAV is not installed
    """
    av = need_av("writing frame thumbnails")
    scale = min(1.0, LONGEST / max(rgb.shape[:2]))
    height, width = (max(16, round(side * scale / 2) * 2) for side in rgb.shape[:2])
    coder: Any = av.CodecContext.create("mjpeg", "w")
    coder.width, coder.height, coder.pix_fmt = width, height, "yuvj420p"
    coder.time_base = Fraction(1, 25)
    coder.options = {"flags": "+qscale", "global_quality": str(118 * 5)}  # FF_QP2LAMBDA x quality 5 of 2 to 31
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    small = frame.reformat(width, height, "yuvj420p", interpolation="AREA")
    small.pts = 0
    return b"".join(bytes(packet) for step in (small, None) for packet in coder.encode(step))


def thumbnail_signals(pictures: Sequence[bytes]) -> dict[str, Array]:
    """The pictures of T frames as the signals ``frame_jpeg`` and ``frame_jpeg_len``."""
    return {
        "frame_jpeg": np.frombuffer(b"".join(pictures), np.uint8),
        "frame_jpeg_len": np.array([len(picture) for picture in pictures], np.int32),
    }
