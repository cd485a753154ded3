"""A server's selector and budget, the same in every process of the engine."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Any

import numpy as np

from stgraph.devices import beside
from stgraph.errors import FeatureError, InputError, MissingSignalError
from stgraph.grid import TokenGrid
from stgraph.registry import told
from stgraph.selection.base import SELECTORS, Selector
from stgraph.selection.base import selector as build_selector
from stgraph.selection.budget import Budget
from stgraph.tokens import VideoTokens

DEFAULT: Mapping[str, Any] = {"selector": "st-simdiff"}
IMPORTANCE = "difference-then-centrality"  # what ranks surplus candidates where the LLM's attention is out of reach
RULES = ("vllm", "ratio")
_BUDGET = ("retain_ratio", "n_keep", "measured", "newlines")
_WARM_UP = TokenGrid(3, 4, 4)
_log = logging.getLogger("stgraph")


@dataclass(frozen=True, eq=False)
class Settings:
    """A selector, and the rule that turns a pruning rate into a number of tokens.

    Attributes
    ----------
    selector : a selector that needs only features and has exact counts
    rule : "vllm" keeps ``max(H W, int(N (1 - rate)))`` tokens, at least those of one frame; "ratio" keeps
        ``ceil(N (1 - rate))``, as ``retain_ratio`` does everywhere else in stgraph
    """

    selector: Selector
    rule: str

    @classmethod
    def of(cls, given: Any) -> Settings:
        """The settings written as ``hf_overrides={"stgraph": given}``; :data:`DEFAULT` for None.

        Parameters
        ----------
        given : mapping of "selector" (a name), "budget" ("vllm" or "ratio") and the selector's parameters

        Raises
        ------
        InputError
            not a mapping, a parameter unknown to the selector, a budget other than the engine's, or a selector whose
        count depends on the features
        MissingSignalError
            the selector needs more than features
        UnknownNameError
            no selector has that name

        Examples
        --------
        >>> Settings.of({"selector": "evs"}).n_keep(TokenGrid(8, 4, 4), 0.7)
        38
        """
        plain = given.to_dict() if hasattr(given, "to_dict") else given
        if plain is None:
            plain = DEFAULT
        if not isinstance(plain, Mapping):
            raise InputError(f"stgraph is {plain!r} in hf_overrides; it must be a mapping such as {dict(DEFAULT)}")
        return _built(json.dumps(dict(plain), sort_keys=True))

    def n_keep(self, grid: TokenGrid, rate: float) -> int:
        """Number of tokens kept of a video with this grid, exact before features exist.

        Raises
        ------
        InputError
            ``rate`` is not a number in [0, 1)
        """
        check_rate(rate)
        if self.rule == "vllm":
            n = max(grid.H * grid.W, int(grid.n_nodes * (1 - rate)))  # in the engine's own floating point
        else:
            n = ceil(grid.n_nodes * (1 - Fraction(str(rate))))
        found = self.selector.count(grid, Budget(n_keep=n))
        assert found is not None  # Settings.of refuses such selectors
        return found

    def keep(self, features: Any, grid: TokenGrid, n_keep: int) -> tuple[Any, Any]:
        """Select the rows of one video, on their device if the selector computes there.

        Features with NaN or Inf cannot be compared. By then the prompt has ``n_keep`` places, and an exception would
        end the engine for all its requests: evenly spaced tokens are kept instead, and an error is logged.

        Parameters
        ----------
        features : [T*H*W, d] tensor, the encoder's output in raster order

        Returns
        -------
        rows [K, d], merged if the method merges, and [K] int64, their places in raster order, ascending; both on the
        device of ``features``
        """
        tokens = VideoTokens.from_array(features.detach().reshape(*grid.shape, features.shape[-1]))
        try:
            selection = self.selector.select(tokens, Budget(n_keep=n_keep))
        except FeatureError as error:
            _log.error("%s; %d evenly spaced tokens of this %s video are kept instead", error, n_keep, grid)
            spaced = beside(np.arange(n_keep, dtype=np.int64) * grid.n_nodes // n_keep, features)
            return features.index_select(0, spaced), spaced
        return selection.gather(features), beside(selection.indices, features)

    def warm_up(self, features: Any) -> tuple[str, bool]:
        """Compile the selector's kernels on ``features`` of random tokens; returns its exactness here, and whether it
        renumbers the positions of cut prompts.

        Parameters
        ----------
        features : [48, d] tensor, on the device and in the dtype of the encoder's output
        """
        T, H, W = _WARM_UP.shape
        tokens = VideoTokens.from_array(features.reshape(T, H, W, features.shape[-1]))
        found = self.selector.select(tokens, Budget(n_keep=_WARM_UP.n_nodes // 4))
        self.keep(features, _WARM_UP, _WARM_UP.n_nodes // 2)
        return found.exactness, found.positions == "compact"

    @property
    def n_warm_up(self) -> int:
        """Number of rows for :meth:`warm_up`."""
        return _WARM_UP.n_nodes


def check_rate(rate: Any, name: str = "video_pruning_rate") -> float:
    """``rate`` as a float; InputError unless it is a number in [0, 1)."""
    number = isinstance(rate, (int, float, np.integer, np.floating)) and not isinstance(rate, bool)
    if not number or not 0 <= rate < 1:
        raise InputError(f"{name} is {rate!r}; it must be a number in [0, 1): the share of video tokens to drop")
    return float(rate)


def servable() -> list[str]:
    """Names of the selectors a serving engine can run: they need only features, and their count is exact in advance."""
    return [name for name in SELECTORS.names() if not _obstacle(name)]


@cache
def _obstacle(name: str) -> str | None:
    """Why a selector, with its defaults, cannot run in a serving engine; None if it can."""
    try:
        found: Selector = build_selector(name, retain_ratio=0.5)
    except Exception as error:
        return told(error)
    return _refusal(found)


def _refusal(found: Selector) -> str | None:
    """Why this selector, as configured, cannot run in a serving engine."""
    if found.requires:
        signals = ", ".join(map(repr, sorted(found.requires)))
        return f"selector {found.name!r} needs the signals {signals}, and the engine hands over features alone"
    if found.count(_WARM_UP, Budget(retain_ratio=0.5)) is None:
        return (
            f"selector {found.name!r} keeps as many tokens as the features decide, and the engine sizes the prompt "
            "before there are features; where the selector has exact_count or reduce, leave it True"
        )
    return None


@cache
def _built(text: str) -> Settings:
    options = json.loads(text)
    rule = options.pop("budget", "vllm")
    if rule not in RULES:
        raise InputError(f"stgraph: budget is {rule!r}; it must be one of {', '.join(map(repr, RULES))}")
    for name in _BUDGET:
        if name in options:
            raise InputError(f"stgraph: {name} cannot be set here: the engine's video_pruning_rate is the budget")
    name = options.pop("selector", DEFAULT["selector"])
    selector = build_selector(name, retain_ratio=0.5, **options)
    if getattr(selector, "importance", None) == "auto":
        selector = build_selector(name, retain_ratio=0.5, **{**options, "importance": IMPORTANCE})
    why = _refusal(selector)
    if why is not None:
        kind = MissingSignalError if selector.requires else InputError
        raise kind(f"{why}. Selectors for serving: {', '.join(servable())}")
    return Settings(selector, rule)
