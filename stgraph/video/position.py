"""A forward-moving position in an opened video, by frame or by key frame."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import ExitStack
from typing import Any

import numpy as np

from stgraph.errors import InputError
from stgraph.video.opening import CONVERT, Path, decoded, opened
from stgraph.video.timeline import Timeline

_WORTH = 12  # frames a jump must save: it discards the work of the decoder's threads


class Position:
    """Finds frames of ``path`` by their index in ``line``; a context manager.

    Parameters
    ----------
    seek : jump to each key frame in between (True), never (False), or where it saves decoding (None)
    """

    def __init__(self, path: Path, line: Timeline, seek: bool | None) -> None:
        self._path, self._line = path, line
        self._open = ExitStack()
        self._worth = _WORTH if seek is None else 1
        self._seeks = seek is not False and line.pts is not None
        self._keys = [int(key) for key in line.keys]
        self._index = self._next_index = -1

    def __enter__(self) -> Position:
        self._begin()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def at(self, index: int) -> tuple[int, Any]:
        """The frame with this index, at least the last one requested, and its index. The index is lower if only this
        frame cannot be decoded: then it is the frame on display.
        """
        if self._seeks and index > self._index:
            self._jump(index)
        while self._next is not None and self._next_index <= index:
            self._shown, self._index = self._next, self._next_index
            self._advance()
        if self._next is None and self._index < index:
            raise InputError(
                f"cannot read {self._path} at {self._line.times[index]:.2f} s: its frames end at "
                f"{self._line.times[max(self._index, 0)]:.2f} s, though more data follow. It is damaged or truncated. "
                f"{CONVERT}"
            )
        return max(self._index, 0), self._shown

    def _begin(self) -> None:
        """Move before the first frame."""
        self._open.close()
        self._container, self._stream = self._open.enter_context(opened(self._path))
        self._frames = decoded(self._container, self._stream, self._path)
        self._index = self._next_index = -1
        self._advance()
        self._shown = self._next
        if self._next is None:
            raise InputError(f"cannot read {self._path}: its video holds no frame that can be decoded. {CONVERT}")

    def _advance(self) -> None:
        self._next = next(self._frames, None)
        if self._next is not None:
            self._next_index = self._index_of(self._next)

    def _index_of(self, frame: Any) -> int:
        if self._line.pts is None or frame.pts is None:
            return self._next_index + 1
        return int(np.searchsorted(self._line.pts, frame.pts, side="right")) - 1

    def _jump(self, index: int) -> None:
        """Continue from a key frame at or before ``index``, if one is far enough ahead."""
        import av

        assert self._line.pts is not None
        start, back = max(self._index, self._next_index, 0), 0
        nearest = bisect_right(self._keys, index) - 1
        while nearest >= back and self._keys[nearest - back] - start >= self._worth:
            try:
                self._container.seek(int(self._line.pts[self._keys[nearest - back]]), stream=self._stream)
                frames = decoded(self._container, self._stream, self._path)
                # Frames displayed before the key frame refer to frames that were not decoded.
                key = next((frame for frame in frames if frame.key_frame and frame.pts is not None), None)
            except (av.FFmpegError, InputError):
                key = None
            if key is not None and start <= self._index_of(key) <= index:
                self._frames, self._next, self._next_index = frames, key, self._index_of(key)
                return
            # Files are sought by decoding times: a key frame may be found that is displayed after the instant.
            back = 2 * back + 1
        if back:
            self._seeks = False  # this file is not seekable: from now on everything is decoded
            reached = self._index
            self._begin()
            while self._next is not None and self._next_index <= reached:
                self._shown, self._index = self._next, self._next_index
                self._advance()
