"""A small cache of recorded selections, for videos whose shapes recur."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from stgraph.selection.capture import capture, obstacle
from stgraph.selection.result import Selection
from stgraph.selection.stages import Waiting
from stgraph.tokens import VideoTokens

MOST = 4  # shapes


class Recordings:
    """A selector that records its work as a CUDA graph the second time a shape occurs, and replays it from then on.

    Otherwise it behaves like the selector it wraps. Work that cannot be recorded (another device, a selector or ranking
    that :func:`stgraph.capture` refuses, attention read in between) runs as usual. Each recording holds a copy of the
    features, N x d values, and the memory of one selection; beyond ``most`` shapes, the least recently used one is
    dropped. Threads take turns, since a recording has one place for its features.

    Parameters
    ----------
    selector : any
    most : number of shapes remembered, at least 1
    record : makes the recorded selection for tokens of one shape
    device : kind of device whose work is recorded
    """

    def __init__(
        self,
        selector: Any,
        most: int = MOST,
        record: Callable[[Any, VideoTokens], Callable[[VideoTokens], Selection]] = capture,
        device: str = "cuda",
    ) -> None:
        self._selector, self._most, self._record, self._device = selector, most, record, device
        self._known: OrderedDict[tuple[Any, ...], Callable[[VideoTokens], Selection] | None] = OrderedDict()
        self._turn = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # nothing of ours that is not there yet, as while it is copied
            raise AttributeError(name)
        return getattr(self._selector, name)

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """The selector's ``begin``, recorded unless it waits for attention."""
        if any(stage.attention is not None or stage.layer for stage in self._selector.stages()):
            found: Selection | Waiting = self._selector.begin(tokens, layer)
            return found
        return self.select(tokens)

    def select(self, tokens: VideoTokens) -> Selection:
        """The selector's ``select``, with the same result."""
        if not self._can_record(tokens):
            selection: Selection = self._selector.select(tokens)
            return selection
        x = tokens.features
        shape = (tokens.grid.shape, tuple(x.shape), x.dtype, x.device)
        with self._turn:
            if shape not in self._known:
                self._known[shape] = None
                while len(self._known) > self._most:
                    self._known.popitem(last=False)
                found: Selection = self._selector.select(tokens)
                return found
            self._known.move_to_end(shape)
            replay = self._known[shape]
            if replay is None:
                replay = self._known[shape] = self._record(self._selector, tokens)
            return replay(tokens)

    def _can_record(self, tokens: VideoTokens) -> bool:
        return tokens.on_gpu and tokens.features.device.type == self._device and not obstacle(self._selector, tokens)
