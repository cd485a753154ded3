"""Task plans: the product of the axes, every name and number checked when the plan is made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any

from stgraph.community.base import usable_backend
from stgraph.errors import InputError
from stgraph.selection.base import Selector
from stgraph.selection.budget import Budget
from stgraph.selection.settings import Setting, check_axis, check_parameters, settings_of
from stgraph.vlm.encoders import check_dtype
from stgraph.vlm.stages import check_selector

# The model as it is; without the video; with smaller frames, which a retain ratio belongs to.
FULL, BLIND, DOWNSAMPLED = "full", "blind", "downsampled"
BASELINES = (FULL, BLIND, DOWNSAMPLED)


@dataclass(frozen=True, eq=False)
class Trial:
    """One way to answer: a setting at a retain ratio, or a baseline, which has no selector."""

    setting: Setting
    retain_ratio: float | None = None

    @property
    def name(self) -> str:
        """The selector or the baseline."""
        return self.setting.selector

    @cached_property
    def selector(self) -> Selector | None:
        """The selector that compresses the video; None for a baseline."""
        if self.retain_ratio is None or self.name in BASELINES:
            return None
        return self.setting.build(Budget(self.retain_ratio))

    @cached_property
    def columns(self) -> dict[str, Any]:
        """The columns that identify a row besides question and frames: all parameters, including defaults."""
        facts = None if self.selector is None else _parameters(self.selector, self.setting.parameters)
        return {
            "selector": self.name,
            "backend": facts and facts.pop("backend", None),
            "split": facts and facts.pop("split", None),
            "parameters": None if facts is None else json.dumps(facts, sort_keys=True),
            "retain_ratio": self.retain_ratio,
        }


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """The axes of an evaluation.

    Attributes
    ----------
    selectors : names; "full" is the unchanged model, "blind" the prompt without the video, "downsampled" the model with
        smaller frames
    retain_ratios : r values, for every selector
    backends, splits : for the selectors that accept them; empty for their default
    options : other parameters; each goes to the selectors that accept it
    frames, fps : see :func:`stgraph.vlm.prompt_video.prompt_video`
    dtype : of the model: float32, float16 or bfloat16; None for the checkpoint's
    pooling : of LLaVA-Video's frames, see :func:`stgraph.vlm.load`; None: the checkpoint's

    Raises
    ------
    UnknownNameError, BackendUnavailableError, InputError, MissingSignalError
        a name or number is wrong, a backend cannot run here, or a selector cannot work in a running model
    """

    selectors: tuple[str, ...] = (FULL, BLIND, "st-simdiff")
    retain_ratios: tuple[float, ...] = (0.3,)
    backends: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    frames: int | None = 64
    fps: float | None = None
    dtype: str | None = None
    pooling: str | None = None
    trials: tuple[Trial, ...] = field(init=False)

    def __post_init__(self) -> None:
        for axis in ("selectors", "retain_ratios", "backends", "splits"):
            object.__setattr__(self, axis, tuple(dict.fromkeys(getattr(self, axis))))
        for axis in ("selectors", "retain_ratios"):
            check_axis(axis, getattr(self, axis))
        if self.frames is None and self.fps is None:
            raise InputError("frames and fps are both None; give at least one of them")
        whole = isinstance(self.frames, int) and not isinstance(self.frames, bool)
        if self.frames is not None and (not whole or self.frames < 1):
            raise InputError(f"frames is {self.frames!r}; it must be an integer of at least 1")
        number = isinstance(self.fps, (int, float)) and not isinstance(self.fps, bool)
        if self.fps is not None and (not number or not 0 < self.fps < float("inf")):
            raise InputError(f"fps is {self.fps!r}; it must be a positive number of frames per second")
        check_dtype(self.dtype)
        given = [*self.options, *(["backend"] if self.backends else []), *(["split"] if self.splits else [])]
        check_parameters(self.selectors, given, without=BASELINES)
        made = [found for name in self.selectors for found in self._trials_of(name)]
        object.__setattr__(self, "trials", tuple(made))

    def _trials_of(self, name: str) -> Iterator[Trial]:
        if name == DOWNSAMPLED:
            for ratio in self.retain_ratios:
                Budget(ratio)
                yield Trial(Setting(name), float(ratio))
            return
        if name in BASELINES:
            yield Trial(Setting(name))
            return
        axes = {"backend": self.backends, "split": self.splits}
        values = {key: (value,) for key, value in self.options.items()}
        for setting in settings_of([name], {**values, **{axis: given for axis, given in axes.items() if given}}):
            if setting.get("backend") is not None:
                usable_backend(setting.get("backend"))
            for ratio in self.retain_ratios:
                Budget(ratio)
                trial = Trial(setting, float(ratio))
                check_selector(trial.selector)
                yield trial


def _parameters(selector: Selector, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters as plain values, including defaults; for a selector that is not a dataclass, only the given
    ones."""
    if is_dataclass(selector):
        given = {part.name: getattr(selector, part.name) for part in fields(selector) if part.name != "budget"}
    plain = (str, int, float, bool, type(None))
    return {name: value if isinstance(value, plain) else str(value) for name, value in given.items()}
