"""Signals of the vision tower, assigned from its passes to the prompts whose videos it encoded."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

from stgraph.errors import MissingSignalError
from stgraph.vlm.calls import Call, Calls, generation_of, is_running
from stgraph.vlm.families import Parts
from stgraph.vlm.grids import Video
from stgraph.vlm.model_tower import EncodedFrames, EncoderReader, Signals

# Attribute on the output of a pass: signals stay with the output when it is copied or passed on.
_FRAMES = "_stgraph_frames"
_PASSES = "_stgraph_passes"  # the same of all passes of a generation, on what it hands to the model


class EncodedSignals:
    """Signals of passes through a tower, kept for the call, generation or output they belong to.

    Passes during a call of the model belong to that call. ``generate`` may encode before it calls the model: then they
    belong to it while it runs on its thread. Callers who encode a video themselves pass on the output, which carries
    the signals of its pass.
    """

    def __init__(self, reader: EncoderReader, parts: Parts, calls: Calls) -> None:
        self.reader = reader
        self._parts = parts
        self._calls = calls
        self._ahead: dict[int, tuple[FrameType, list[EncodedFrames]]] = {}

    def open(self) -> AbstractContextManager[None]:
        """While open, passes are read."""
        return self.reader.open(self._after_pass)

    def clear(self) -> None:
        """Forget signals of videos encoded ahead."""
        self._ahead.clear()

    def of_videos(self, call: Call, videos: Sequence[Video]) -> Mapping[Video, tuple[Signals, Signals]]:
        """Signals and metadata of each video or image of a prompt, from the passes that belong to its call.

        Raises
        ------
        MissingSignalError
            its videos were passed encoded, and their encoding was not seen, or was of other pictures
        """
        outputs = call.given.get("mm_encoder_outputs") or {}
        media = [medium for medium in ("image", "video") if any(video.medium == medium for video in videos)]
        kinds = tuple(dict.fromkeys([*media, self._parts.family.token]))
        encoded = [outputs[kind] for kind in kinds if outputs.get(kind) is not None]
        generation = generation_of(self._parts.model, call.frame)
        if not encoded:
            passes, copies = call.towers, 1
        else:
            passes = self._passes_of(encoded, generation, kinds)
            copies = 1 if generation is None else _copies(generation, call)
        own = [video for video in videos if video.row % copies == 0]  # copies of a row follow each other
        own.sort(key=lambda video: media.index(video.medium))  # a model encodes images first
        found = {(v.row, v.medium, v.index): x for v, x in zip(own, self.reader.of_videos(passes, own), strict=True)}
        return {video: found[video.row - video.row % copies, video.medium, video.index] for video in videos}

    def _passes_of(
        self, encoded: Sequence[Any], generation: FrameType | None, kinds: Sequence[str]
    ) -> list[EncodedFrames]:
        given = {} if generation is None else generation.f_locals.get("kwargs", {}).get("mm_encoder_outputs") or {}
        if generation is not None and not any(given.get(kind) is not None for kind in kinds):
            frame, passes = self._ahead.get(threading.get_ident(), (None, []))
            if frame is generation:  # what it hands on again without a cache carries them; its frame holds the cache
                del self._ahead[threading.get_ident()]
                for output in encoded:
                    setattr(output, _PASSES, passes)
            known: list[EncodedFrames] | None = getattr(encoded[0], _PASSES, None)
            if known is not None:
                return known
        carried: list[EncodedFrames | None] = [getattr(output, _FRAMES, None) for output in encoded]
        seen = [frames for frames in carried if frames is not None]
        if len(seen) < len(carried):
            raise MissingSignalError(
                f"{self.reader.asked} is needed, but this video came encoded, and its encoder was not seen: it was "
                "encoded before compress() was entered, or copied by hand. Encode it inside the block"
            )
        return seen

    def _after_pass(self, frames: EncodedFrames, output: Any) -> None:
        if isinstance(output, Mapping):
            setattr(output, _FRAMES, frames)
        call = self._calls.current()
        if call is not None:
            call.towers.append(frames)
            return
        generation = generation_of(self._parts.model, sys._getframe())
        thread = threading.get_ident()
        self._ahead = {key: kept for key, kept in self._ahead.items() if key != thread or is_running(kept[0])}
        if generation is not None:
            frame, passes = self._ahead.get(thread, (None, []))
            self._ahead[thread] = generation, [*(passes if frame is generation else []), frames]


def _copies(generation: FrameType, call: Call) -> int:
    """How often ``generate`` repeats each row of its prompts in place: for beams, and for several answers."""
    given = generation.f_locals.get("inputs")
    ids = generation.f_locals.get("kwargs", {}).get("input_ids") if given is None else given
    return 1 if ids is None or call.ids is None else max(1, len(call.ids) // len(ids))
