"""Frames as displayed: rotated and mirrored by their display matrix, scaled to one size."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.aliases import Array


def picture(frame: Any, size: tuple[int, int]) -> Array:
    """[h, w, 3] uint8 of ``size`` (h, w), to which frames of other sizes are scaled, as in FFmpeg."""
    across, down = _matrix(frame)
    height, width = size if across[0] else size[::-1]
    if (frame.height, frame.width) == (height, width):
        rgb = frame.to_ndarray(format="rgb24")
    else:
        rgb = frame.reformat(width, height, "rgb24", interpolation="BICUBIC").to_ndarray()
    # A row of the matrix says where a step to the right, or down, leads on display: (right, down).
    if not across[0]:
        rgb = rgb.swapaxes(0, 1)
        across, down = down, across
    if across[0] < 0:
        rgb = rgb[:, ::-1]
    if down[1] < 0:
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def displayed_size(frame: Any) -> tuple[int, int]:
    """(height, width) on display."""
    return (frame.width, frame.height) if is_sideways(frame) else (frame.height, frame.width)


def is_sideways(frame: Any) -> bool:
    """Whether rows are displayed as columns."""
    return not _matrix(frame)[0][0]


def _matrix(frame: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """The display matrix without shift and scale, rounded to quarter turns: one entry per row is 1 or -1."""
    from av.sidedata.sidedata import Type

    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return (1, 0), (0, 1)
    a, b, _, c, d, *_ = (int(value) for value in np.frombuffer(data, np.int32, 9))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1, 0), (0, -1 if d < 0 else 1)
    return (0, -1 if b < 0 else 1), (-1 if c < 0 else 1, 0)
