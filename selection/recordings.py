"""A small cache of recorded selections, for videos whose shapes recur."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stgraph.devices import first_line
from stgraph.selection.capture import obstacle
from stgraph.selection.recorder import CudaRecorder
from stgraph.selection.result import Selection
from stgraph.tokens import VideoTokens

MOST = 4  # recordings kept
REMEMBERED = 256  # shapes whose videos are counted
SHARE = 0.1  # of the free memory that one recording may take
WORKSPACE = 320  # bytes per token that one selection takes at most, beside partial sums of features
PARTIAL_SUMS = 0.05  # of the features: a row for every 128 tokens of large communities
ROUNDING = 32e6  # bytes by which torch's allocator, which takes up to 20 MB at a time, may exceed what is used
PATIENCE = 2  # videos of a shape before the one that is recorded; 1 if asked to record
PROOFS = 2  # first replays, beside each of which the selection is made unrecorded as well

_log = logging.getLogger("stgraph")


@dataclass
class _Shape:
    """What is known of one shape: ``patience`` videos are selected unrecorded before one is recorded, and the first
    ``PROOFS`` replays are ``proven``."""

    patience: int
    seen: int = 0
    proven: int = 0
    replay: Callable[[VideoTokens], Selection] | None = None
    failed: str | None = None


def memory(tokens: VideoTokens) -> float:
    """Bytes that a recorded selection of such tokens holds, at most."""
    x = tokens.features
    n_bytes = int(x.numel() * x.element_size())
    return (1 + PARTIAL_SUMS) * n_bytes + WORKSPACE * tokens.grid.n_nodes + ROUNDING


class Recordings:
    """Selections of one selector, recorded once videos of a shape recur, and replayed from then on.

    A recording holds :func:`memory` bytes: a copy of the features, N x d values, and the memory of one selection. It is
    not made where that is more than :data:`SHARE` of the device's free memory. Beyond ``most`` recordings, the least
    recently used one is dropped, and its shape has to come twice as often before it is recorded again. A shape whose
    recording fails, or whose first replays differ from unrecorded selections, is not tried again. Threads take turns,
    since a recording has one place for its features.

    Parameters
    ----------
    selector : any
    asked : whether the caller asked for recordings: at the second video of a shape rather than the third, and whatever
        :meth:`CudaRecorder.hazard` says
    recorder : what records
    most : number of recordings kept, at least 1
    """

    def __init__(
        self, selector: Any, asked: bool = False, recorder: CudaRecorder | None = None, most: int = MOST
    ) -> None:
        self._selector, self._asked, self._most = selector, asked, most
        self._recorder = CudaRecorder() if recorder is None else recorder
        self._shapes: OrderedDict[tuple[Any, ...], _Shape] = OrderedDict()
        self._turn = threading.Lock()

    def replay(self, tokens: VideoTokens) -> tuple[Selection | None, str]:
        """The selection by a recording and "recorded" or "replayed"; or None and "not recorded: why", for the caller to
        select as ever.

        Raises
        ------
        FeatureError
            a token holds NaN or Inf
        """
        if why := self._obstacle(tokens):
            return None, f"not recorded: {why}"
        with self._turn:
            shape, did = self._shape_of(tokens), "replayed"
            if shape.replay is None:
                if why := self._not_now(shape, tokens) or self._record(shape, tokens):
                    return None, f"not recorded: {why}"
                did = "recorded"
            assert shape.replay is not None
            found = shape.replay(tokens)
            if shape.proven < PROOFS and (why := self._disproof(shape, tokens, found)):
                return None, f"not recorded: {why}"
            return found, did

    def _obstacle(self, tokens: VideoTokens) -> str | None:
        """Why selections of such tokens are not recorded at all, or not where the caller stands."""
        if not tokens.on_gpu or tokens.features.device.type != self._recorder.kind:
            return f"features on {tokens.device}, not on a CUDA device"
        if any(stage.attention is not None or stage.layer for stage in self._selector.stages()):
            return "the selection waits for the model's attention"
        if why := obstacle(self._selector, tokens):
            return why
        if self._recorder.busy(tokens.features.device):
            return "the caller's stream is being recorded"
        return None if self._asked else self._recorder.hazard()

    def _shape_of(self, tokens: VideoTokens) -> _Shape:
        """What is known of the tokens' shape, the most recently used one from now on."""
        x = tokens.features
        key = (tokens.grid, tuple(x.shape), x.dtype, x.device)
        shape = self._shapes.setdefault(key, _Shape(1 if self._asked else PATIENCE))
        self._shapes.move_to_end(key)
        if len(self._shapes) > REMEMBERED:
            self._shapes.popitem(last=False)
        return shape

    def _not_now(self, shape: _Shape, tokens: VideoTokens) -> str | None:
        """Why this video is not recorded, None if it is to be."""
        if shape.failed is not None:
            return shape.failed
        if shape.seen < shape.patience:
            shape.seen += 1
            return f"number {shape.seen} of its shape, which is recorded from number {shape.patience + 1} on"
        free = self._recorder.free(tokens.features.device)
        takes = memory(tokens)
        if takes > SHARE * free:
            shape.seen, shape.patience = 0, 2 * shape.patience  # asking for the free memory costs time as well
            return f"it would take {takes / 1e6:,.1f} MB, and {SHARE:.0%} of the {free / 1e6:,.1f} MB free are allowed"
        return None

    def _record(self, shape: _Shape, tokens: VideoTokens) -> str | None:
        """Record the selection of this shape; the reason if that fails."""
        try:
            shape.replay = self._recorder.record(self._selector, tokens)
        except Exception as error:
            return self._failed(shape, tokens, f"recording failed ({type(error).__name__}: {first_line(error)})")
        shape.proven = 0
        recorded = [one for one in self._shapes.values() if one.replay is not None]
        for oldest in recorded[: -self._most]:
            oldest.replay, oldest.seen, oldest.patience = None, 0, 2 * oldest.patience
        return None

    def _disproof(self, shape: _Shape, tokens: VideoTokens, found: Selection) -> str | None:
        """How a replay differs from the unrecorded selection; None if it does not."""
        plain = self._selector.select(tokens)
        shape.proven += 1
        if all(getattr(found, name).equal(getattr(plain, name)) for name in ("indices", "reason", "scores")):
            return None
        return self._failed(shape, tokens, "the recorded selection differed from the unrecorded one")

    def _failed(self, shape: _Shape, tokens: VideoTokens, why: str) -> str:
        shape.replay, shape.failed = None, why
        _log.warning("%s of shape %s is selected unrecorded: %s", self._selector.name, tokens.grid, why)
        return why
