"""Time of a running model by phases: vision tower, projector, selection, probe, prefill, decoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Any

from stgraph.vlm.families import Parts
from stgraph.vlm.model_tower import projector_of
from stgraph.vlm.stats import Stats


@dataclass
class PhaseTimes:
    """Context manager that times the passes of one model, around :func:`stgraph.compress` or without it.

    On a CUDA device every boundary waits for the device, so timed passes are slightly slower than others.

    Attributes
    ----------
    parts : of the model, see :func:`stgraph.vlm.families.parts_of`
    forward_s : seconds of each forward pass: first the prompt's, then one per generated token. Encoding by ``generate``
        before the prompt's pass counts towards that pass
    tower_s : seconds in the vision tower, without a projector inside it
    projector_s : seconds in the projector; 0 if the model lacks a module with that name, whose work then counts as
        prefill
    """

    parts: Parts
    forward_s: list[float] = field(default_factory=list)
    tower_s: float = 0.0
    projector_s: float = 0.0
    _passing: bool = False
    _ahead_s: float = 0.0
    _handles: list[Any] = field(default_factory=list, repr=False)

    def __enter__(self) -> PhaseTimes:
        vision, projector = self.parts.vision, projector_of(self.parts)
        self._watch(self.parts.model, self._passed, self._passes)
        if vision is not None:
            self._watch(vision, self._tower)
        if projector is not None:
            inside = vision is not None and projector in set(vision.modules())
            self._watch(projector, self._inner_projector if inside else self._projector)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        while self._handles:
            self._handles.pop().remove()

    def prompt(self, stats: Stats | None = None) -> dict[str, float]:
        """Seconds of the prompt's pass by phases, which add up to it: ``tower_s``, ``projector_s``, ``select_s``,
        ``probe_s``, and ``prefill_s``, the language model and everything else.

        Parameters
        ----------
        stats : of the compression, for this prompt only; None without compression
        """
        videos = [] if stats is None else stats.videos
        spent = {
            "tower_s": self.tower_s,
            "projector_s": self.projector_s,
            "select_s": sum(video.select_s for video in videos),
            "probe_s": max((video.probe_s for video in videos), default=0.0),  # which all videos of a prompt share
        }
        return {**spent, "prefill_s": self.forward_s[0] - sum(spent.values())}

    def _passes(self) -> None:
        self._passing = True

    def _passed(self, seconds: float) -> None:
        self._passing = False
        self.forward_s.append(seconds + self._ahead_s)
        self._ahead_s = 0.0

    def _tower(self, seconds: float) -> None:
        self.tower_s += seconds
        self._outside(seconds)

    def _projector(self, seconds: float) -> None:
        self.projector_s += seconds
        self._outside(seconds)

    def _inner_projector(self, seconds: float) -> None:
        self.projector_s += seconds
        self.tower_s -= seconds

    def _outside(self, seconds: float) -> None:
        if not self._passing:
            self._ahead_s += seconds

    def _watch(self, module: Any, done: Callable[[float], None], begin: Callable[[], None] = lambda: None) -> None:
        started: list[float] = []

        def start(*_: Any) -> None:
            begin()
            started.append(self._now())

        def end(*_: Any) -> None:
            done(self._now() - started.pop())

        self._handles += [module.register_forward_pre_hook(start), module.register_forward_hook(end)]

    def _now(self) -> float:
        device = next(self.parts.model.parameters()).device
        if device.type == "cuda":
            import torch

            torch.cuda.synchronize(device)
        return perf_counter()
