"""Running calls: the arguments of a model or its base, for the duration of the call and only on its thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any


@dataclass(frozen=True)
class Asked:
    """Requests of the model's caller that a shorter prompt may not satisfy.

    ``per_token`` names an argument that refers to positions of the whole prompt; ``n_last`` is the number of last
    tokens whose logits are wanted, more than one when guesses are verified; ``compiled``: decoding steps run compiled
    code.
    """

    per_token: str | None = None
    n_last: int = 1
    compiled: bool = False


def asked_of(given: Mapping[str, Any]) -> Asked:
    """The requests in a model's keyword arguments."""
    logits = given.get("logits_to_keep")
    if given.get("labels") is not None:
        return Asked(per_token="labels")
    if getattr(logits, "ndim", 0):
        return Asked(per_token="logits_to_keep (positions)")
    return Asked(n_last=logits) if isinstance(logits, int) else Asked()


@dataclass(eq=False)
class Call:
    """One call of the model or its base.

    Attributes
    ----------
    module : the called module
    frame : of the code that runs it; the call runs while the frame is on a thread's stack
    given : its keyword arguments, including ``input_ids`` if it was positional
    asked : requests of the model's caller
    reached : whether the text model was reached, so that this prompt was handled
    towers : signals of each pass through the vision tower during the call, in order, if they are read
    """

    module: Any
    frame: FrameType
    given: Mapping[str, Any]
    asked: Asked
    reached: bool = field(default=False, init=False)
    towers: list[Any] = field(default_factory=list, init=False)

    @property
    def ids(self) -> Any:
        """Token ids [B, S]; None if the prompt came as embeddings."""
        return self.given.get("input_ids")

    @property
    def positions_given(self) -> bool:
        """Whether the caller provides positions."""
        return any(self.given.get(name) is not None for name in ("position_ids", "cache_position"))

    @property
    def carries_video(self) -> bool:
        """Whether the call includes a video to be placed at its tokens."""
        encoded = (self.given.get("mm_encoder_outputs") or {}).get("video")
        return encoded is not None or self.given.get("pixel_values_videos") is not None

    def shows(self, placeholders: Callable[[Any], Any]) -> bool:
        """Whether its tokens include a placeholder, found by a function giving [B, S] bool. A single token without
        pictures is a decoding step, where searching would only make a GPU wait."""
        ids = self.ids
        if ids is None or (ids.shape[1] == 1 and not any(self.given.get(name) is not None for name in _PICTURES)):
            return False
        return bool(placeholders(ids).any())

    def said_to_generate(self, model: Any) -> Mapping[str, Any]:
        """Keyword arguments of the ``model.generate`` making this call; empty without one.

        transformers removes the grids of encoded videos from them before it calls any module, so that they are found
        only in the caller's frame.
        """
        frame = generation_of(model, self.frame)
        found: Mapping[str, Any] = {} if frame is None else frame.f_locals.get("kwargs", {})
        return found


def handed_on(outer: Call | None, model: Any, given: Mapping[str, Any]) -> tuple[Asked, Mapping[str, Any]]:
    """The requests and keyword arguments of a call inside ``outer``.

    Encoded pictures are those ``model`` was given: where accelerate moves arguments between devices, it hands on copies
    that lack what is attached to them.
    """
    if outer is None:
        return Asked(), given
    encoded = outer.given.get(_ENCODED) if outer.module is model else None
    return outer.asked, given if encoded is None else {**given, _ENCODED: encoded}


_ENCODED = "mm_encoder_outputs"
_PICTURES = ("pixel_values", "pixel_values_videos", _ENCODED)


class Calls:
    """The running calls of each thread, outermost first.

    A call ends when its frame has left its thread's stack. This holds after every exception, even one that forward
    hooks do not see (KeyboardInterrupt); hooks at its end merely release it earlier.
    """

    def __init__(self) -> None:
        self._of_thread: dict[int, list[Call]] = {}

    def begin(self, call: Call) -> None:
        """A call starts on this thread."""
        self._of_thread[threading.get_ident()] = [*self._here(), call]

    def end(self, module: Any) -> Call | None:
        """The innermost call of this module on this thread ends."""
        thread = threading.get_ident()
        calls = self._of_thread.pop(thread, [])
        last = next((i for i in reversed(range(len(calls))) if calls[i].module is module), None)
        if last:
            self._of_thread[thread] = calls[:last]
        return None if last is None else calls[last]

    def current(self) -> Call | None:
        """The innermost running call of this thread."""
        calls = self._here()
        return calls[-1] if calls else None

    def reach(self) -> None:
        """Note that the text model was reached, in all running calls of this thread."""
        for call in self._here():
            call.reached = True

    def elsewhere(self) -> list[Call]:
        """The outermost running call of each other thread."""
        here, frames = threading.get_ident(), sys._current_frames()
        found = []
        for thread, calls in list(self._of_thread.items()):
            on_stack = set(stack_of(frames.get(thread)))
            found += [call for call in calls if thread != here and call.frame in on_stack][:1]
        return found

    def clear(self) -> None:
        """Forget all calls."""
        self._of_thread.clear()

    def _here(self) -> list[Call]:
        calls = self._of_thread.get(threading.get_ident())
        if not calls:
            return []
        on_stack = set(stack_of(sys._getframe()))
        return [call for call in calls if call.frame in on_stack]


def generation_of(model: Any, frame: FrameType) -> FrameType | None:
    """The frame of the ``model.generate`` in which ``frame`` runs, or None."""
    found = (at for at in stack_of(frame) if at.f_code.co_name == "generate" and at.f_locals.get("self") is model)
    return next(found, None)


def is_running(frame: FrameType) -> bool:
    """Whether this thread is inside the code of ``frame``."""
    return any(at is frame for at in stack_of(sys._getframe()))


def stack_of(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and all its callers."""
    while frame is not None:
        yield frame
        frame = frame.f_back
