"""Probe plans: settings, ratios, models and videos, checked when the plan is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from stgraph.bench.probe.depth import DEFAULTS, check_depth
from stgraph.bench.probe.questions import ORDER
from stgraph.bench.probe.splits import N_VIDEOS, seed_of
from stgraph.bench.probe.weights import asked_families, encoder_of, every_model, model_names
from stgraph.community.base import usable_backend
from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.base import SELECTORS, parameters_of
from stgraph.selection.budget import Budget
from stgraph.selection.settings import Setting, check_axis, check_parameters, settings_of
from stgraph.vlm.encoder_signals import ENCODER_SIGNALS
from stgraph.vlm.pooling_head import POOL_SIGNALS

# Signals of the probe's models: made on request, and always made; and those of an encoder with attention.
PROMPT_SIGNALS = frozenset(
    {
        *("llm_attn_text", "llm_attn_text_even", "llm_attn_text_sum", "llm_attn_visual_mean", "llm_attn_textmax"),
        *("llm_keys", "llm_hidden", "text_embeds"),
    }
)
SIGNALS = frozenset({"importance", "llm_attn_last", "llm_attn_layers", "seq_index", *PROMPT_SIGNALS})
VISION_SIGNALS = frozenset({*ENCODER_SIGNALS, *POOL_SIGNALS})
# Features the graph is built on: the language model's input; the same without the video's mean, which all its tokens
# share; the vision encoder's output.
FEATURES = ("projector", "projector-centred", "encoder")
REFERENCES = ("full", "blind")  # all tokens, and none


@dataclass(frozen=True)
class ProbeSetting(Setting):
    """A setting, and the features its graph is built on, see :data:`FEATURES`."""

    features: str = "projector"

    def check(self, ratio: float, model: str | None = None) -> None:
        """Raise unless the probe can run this with a model; without one, the default one.

        Raises
        ------
        UnknownNameError, InputError, BackendUnavailableError
            a name or parameter is wrong, or the backend cannot run here
        MissingSignalError
            it needs signals that the model does not provide
        """
        if self.features not in FEATURES:
            raise InputError(f"features is {self.features!r}; it must be one of {', '.join(FEATURES)}")
        made = self.build(Budget(retain_ratio=ratio))
        if "backend" in self.parameters:
            usable_backend(self.parameters["backend"])
        asked = model_names()[0] if model is None else model
        missing = sorted(made.requires - signals_of(asked))
        if missing:
            able = [name for name in every_model() if made.requires <= signals_of(name)]
            raise MissingSignalError(
                f"{self.selector} needs the signal {missing[0]!r}, which the probe's model {asked} does not give: "
                + (f"use --weights {able[0]}, which does" if able else "leave this selector out")
            )
        check_depth(made)


@dataclass(frozen=True, kw_only=True)
class ProbePlan:
    """Settings x ratios x models; "full" (all tokens) and "blind" (none) are run with every model.

    Attributes
    ----------
    settings, retain_ratios : axes
    models : axis; names of :func:`stgraph.bench.probe.weights.every_model`
    videos : "test", or "dev", on which thresholds may be chosen
    n_questions : minimum number; whole videos are taken

    Raises
    ------
    UnknownNameError, InputError, MissingSignalError, BackendUnavailableError
        see :meth:`ProbeSetting.check`; a model or split that does not exist, or too many questions
    """

    settings: tuple[ProbeSetting, ...]
    retain_ratios: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5)
    models: tuple[str, ...] = ()
    videos: str = "test"
    n_questions: int = 2000

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", self.models or model_names()[:1])
        for axis in ("settings", "retain_ratios"):
            check_axis(axis, getattr(self, axis))
        for model in self.models:
            encoder_of(model)
        if not isinstance(self.n_questions, int) or self.n_questions < 1:
            raise InputError(f"n_questions is {self.n_questions!r}; it must be a positive integer")
        most = N_VIDEOS["dev"] * self.questions_a_video
        if self.n_questions > most:
            raise InputError(f"n_questions is {self.n_questions:,}; the probe has {most:,}")
        seed_of(self.videos, 0)
        if self.videos == "train":
            raise InputError("videos is 'train'; measure on 'test', choose thresholds on 'dev'")
        for setting, ratio, model in product(self.settings, self.retain_ratios, self.models):
            setting.check(ratio, model)

    @property
    def questions_a_video(self) -> int:
        """Questions per video, of the families that are asked."""
        return sum(family in asked_families() for family in ORDER)

    @property
    def n_videos(self) -> int:
        """Number of videos that hold ``n_questions``."""
        return -(-self.n_questions // self.questions_a_video)


def signals_of(model: str) -> frozenset[str]:
    """The signals that a model provides.

    Raises
    ------
    InputError
        no model has that name
    """
    return SIGNALS | VISION_SIGNALS if encoder_of(model) == "vit" else SIGNALS


def probe_selectors(models: Iterable[str] = ()) -> list[str]:
    """The usable selectors whose signals all of the models provide; without models, the default one."""
    asked, found = tuple(models) or model_names()[:1], []
    for name in SELECTORS.usable():
        try:
            for model in asked:
                ProbeSetting(name, DEFAULTS.get(name, {})).check(0.5, model)
        except MissingSignalError:
            continue
        found.append(name)
    return found


def probe_settings(
    selectors: Iterable[str], axes: Mapping[str, Iterable[Any]], features: Iterable[str] = ("projector",)
) -> tuple[ProbeSetting, ...]:
    """The product of selectors, parameters and features; a parameter goes to the selectors that accept it, features to
    those that build a graph. Omitted layers are those of :data:`stgraph.bench.probe.depth.DEFAULTS`.

    Raises
    ------
    UnknownNameError, InputError
        a selector is unknown, or no selector accepts a parameter

    Examples
    --------
    >>> [s.features for s in probe_settings(["uniform", "st-simdiff"], {}, ["projector", "encoder"])]
    ['projector', 'projector', 'encoder']
    """
    names, kinds = tuple(selectors), tuple(dict.fromkeys(features))
    check_parameters(names, axes)
    return tuple(
        ProbeSetting(one.selector, {**DEFAULTS.get(one.selector, {}), **one.parameters}, kind)
        for one in settings_of(names, axes)
        for kind in (kinds if "tau_sim" in parameters_of(one.selector) else ("projector",))
    )
