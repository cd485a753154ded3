"""Pushing the frames of a video into a stream."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph import Selection
from stgraph.selection.stream import Stream

Array = np.ndarray[Any, Any]


def parts_of(stream: Stream, x: Array, importance: Array | None = None) -> list[Selection]:
    pushed = [stream.push(frame, None if importance is None else importance[t]) for t, frame in enumerate(x)]
    return [part for part in [*pushed, stream.finish()] if part is not None]
