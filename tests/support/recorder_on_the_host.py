"""A recorder for machines without a CUDA device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stgraph import Selection, VideoTokens
from stgraph.selection.capture import finished, unread
from stgraph.selection.recorder import CudaRecorder


class OnTheHost(CudaRecorder):
    """Records nothing, but computes each selection as a recording does: from a copy of the features, in one place."""

    kind = "cpu"

    def __init__(self) -> None:
        self.recorded: list[int] = []
        self.replayed: list[int] = []
        self.left: float = 1e12
        self.mishap: Exception | None = None
        self.someone_else = False
        self.danger: str | None = None
        self.wrong_after: int | None = None  # replays

    def hazard(self) -> str | None:
        return self.danger

    def busy(self, device: Any) -> bool:
        return self.someone_else

    def free(self, device: Any) -> int:
        return int(self.left)

    def record(self, selector: Any, tokens: VideoTokens) -> Callable[[VideoTokens], Selection]:
        if self.mishap is not None:
            raise self.mishap
        self.recorded.append(tokens.grid.T)
        own = tokens.features.clone()

        def replay(given: VideoTokens) -> Selection:
            self.replayed.append(given.grid.T)
            if self.wrong_after is None or len(self.replayed) <= self.wrong_after:
                own.copy_(given.features)
            else:
                own.normal_()
            view = selector.budget.view(VideoTokens(own, given.grid), selector.newlines)
            return finished(selector, unread(selector, view), given, 0.0)

        return replay
