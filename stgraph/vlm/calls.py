"""Calls under way: what a model or its base was called with, for as long as that call runs and on its thread alone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any


@dataclass(frozen=True)
class Asked:
    """What the caller of the model wants that a shorter prompt may not give.

    ``per_token`` names an argument that refers to positions of the whole prompt; of ``n_last`` last tokens logits are
    wanted, which are more than one where guesses are verified; ``compiled``: the steps of decoding run compiled code.
    """

    per_token: str | None = None
    n_last: int = 1
    compiled: bool = False


def asked_of(given: Mapping[str, Any]) -> Asked:
    """What keyword arguments of a model ask for."""
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
    module : that was called
    frame : of the code that runs it; while it is on a thread's stack, the call is under way
    given : its keyword arguments, ``input_ids`` among them where it came by position
    asked : of the model, by whoever called it
    reached : whether the text model was reached, so that this prompt was decided on
    towers : what each pass through the vision tower showed in it, in order, where its signals are read
    """

    module: Any
    frame: FrameType
    given: Mapping[str, Any]
    asked: Asked
    reached: bool = field(default=False, init=False)
    towers: list[Any] = field(default_factory=list, init=False)

    @property
    def ids(self) -> Any:
        """Token ids [B, S]; None where the prompt came as embeddings."""
        return self.given.get("input_ids")

    @property
    def positions_given(self) -> bool:
        """Whether the caller counts positions."""
        return any(self.given.get(name) is not None for name in ("position_ids", "cache_position"))

    @property
    def carries_video(self) -> bool:
        """Whether a video came with it, to be put where its tokens are."""
        encoded = (self.given.get("mm_encoder_outputs") or {}).get("video")
        return encoded is not None or self.given.get("pixel_values_videos") is not None

    def shows(self, placeholders: Callable[[Any], Any]) -> bool:
        """Whether a placeholder is among its tokens, which a function finds in them, [B, S] bool. A lone token without
        pictures is a step of decoding, where looking would only make a GPU wait."""
        ids = self.ids
        if ids is None or (ids.shape[1] == 1 and not any(self.given.get(name) is not None for name in _PICTURES)):
            return False
        return bool(placeholders(ids).any())

    def said_to_generate(self, model: Any) -> Mapping[str, Any]:
        """Keyword arguments of the ``model.generate`` that makes this call; empty where none does.

        transformers takes the grids of videos that come encoded out of them before it calls any module, so that they
        are found in the caller's frame alone.
        """
        frame = generation_of(model, self.frame)
        found: Mapping[str, Any] = {} if frame is None else frame.f_locals.get("kwargs", {})
        return found


_PICTURES = ("pixel_values", "pixel_values_videos", "mm_encoder_outputs")


class Calls:
    """The calls under way on each thread, outermost first.

    A call is over when its frame has left the stack of its thread. That holds after every exception, also after those
    that forward hooks are not told of (KeyboardInterrupt); hooks at its end merely let go of it earlier.
    """

    def __init__(self) -> None:
        self._of_thread: dict[int, list[Call]] = {}

    def begin(self, call: Call) -> None:
        """A call starts on this thread."""
        self._of_thread[threading.get_ident()] = [*self._here(), call]

    def end(self, module: Any) -> Call | None:
        """The innermost call of this module on this thread is over."""
        thread = threading.get_ident()
        calls = self._of_thread.pop(thread, [])
        last = next((i for i in reversed(range(len(calls))) if calls[i].module is module), None)
        if last:
            self._of_thread[thread] = calls[:last]
        return None if last is None else calls[last]

    def current(self) -> Call | None:
        """The innermost call under way on this thread."""
        calls = self._here()
        return calls[-1] if calls else None

    def reach(self) -> None:
        """The text model is reached, by all calls under way on this thread."""
        for call in self._here():
            call.reached = True

    def elsewhere(self) -> list[Call]:
        """The outermost call under way on each other thread."""
        here, frames = threading.get_ident(), sys._current_frames()
        found = []
        for thread, calls in list(self._of_thread.items()):
            on_stack = set(stack_of(frames.get(thread)))
            found += [call for call in calls if thread != here and call.frame in on_stack][:1]
        return found

    def clear(self) -> None:
        """Forget them all."""
        self._of_thread.clear()

    def _here(self) -> list[Call]:
        calls = self._of_thread.get(threading.get_ident())
        if not calls:
            return []
        on_stack = set(stack_of(sys._getframe()))
        return [call for call in calls if call.frame in on_stack]


def generation_of(model: Any, frame: FrameType) -> FrameType | None:
    """The frame of the ``model.generate`` that ``frame`` runs in; None where it runs in none."""
    found = (at for at in stack_of(frame) if at.f_code.co_name == "generate" and at.f_locals.get("self") is model)
    return next(found, None)


def is_running(frame: FrameType) -> bool:
    """Whether this thread is inside the code of ``frame``."""
    return any(at is frame for at in stack_of(sys._getframe()))


def stack_of(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and all that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back
