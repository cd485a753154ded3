"""Keeping tokens: settings x retain ratios on one video, with shared work done once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from stgraph.aliases import Array, Progress
from stgraph.errors import InputError
from stgraph.graph import TokenGraph, build_graph
from stgraph.selection.budget import Budget, exact_ratio
from stgraph.selection.reasons import EVENT, REPRESENTATIVE
from stgraph.selection.result import Selection
from stgraph.selection.settings import Setting, check_settings
from stgraph.selection.st_simdiff.analysis import Analysis
from stgraph.selection.st_simdiff.paper import StSimDiff
from stgraph.selection.st_simdiff.representatives import representative_tokens
from stgraph.tokens import VideoTokens, check_tokens

_REMEMBERED = 2  # cached partitions: the reference's and the current one


@dataclass(frozen=True, eq=False, repr=False)
class Kept:
    """The tokens one setting keeps at one retain ratio, in host memory.

    Attributes
    ----------
    setting : the selector and its parameters
    ratio : r
    selection : the tokens kept; ``len``, iteration and ``np.asarray`` are those of its indices
    analysis : graph, communities, centrality and events for st-simdiff and its variants; None for all other selectors.
        Settings with the same communities share them, and the ratios of one setting share the analysis
    seconds : time this setting would take at this ratio by itself, shared work included
    """

    setting: Setting
    ratio: float
    selection: Selection
    analysis: Analysis | None
    seconds: float

    def __repr__(self) -> str:
        found = self.selection
        return f"Kept({self.setting}: r = {self.ratio:g}, {len(found):,} of {found.account.n_visual:,} tokens)"

    def __len__(self) -> int:
        return len(self.selection)

    def __iter__(self) -> Iterator[int]:
        return iter(self.selection)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.selection.__array__(dtype, copy)

    @cached_property
    def mask(self) -> Array:
        """[N] bool: whether each patch is kept."""
        found: Array = self.selection.mask.reshape(-1)
        return found

    @cached_property
    def candidates(self) -> Array | None:
        """[N] uint8: why a token is a candidate (1 representative, 2 event, 3 both, 0 not a candidate), before the
        reduction to the budget; None without an analysis."""
        if self.analysis is None:
            return None
        found = self.analysis
        chosen = representative_tokens(found.centrality, found.partition, exact_ratio(self.ratio))
        reasons: Array = (REPRESENTATIVE * chosen + EVENT * found.events).astype(np.uint8)
        return reasons


class Keeping:
    """One video under several settings in turn; graph and communities are cached.

    Parameters
    ----------
    tokens : VideoTokens
    measured, newlines : for every :class:`stgraph.Budget`
    device : where graph, communities, centrality and the other selectors are computed, "cpu" or "cuda"; candidates
        are reduced to a budget in host memory

    Raises
    ------
    UnavailableError
        no such device here
    """

    def __init__(
        self, tokens: VideoTokens, *, measured: str = "kept", newlines: str | None = None, device: str = "cpu"
    ) -> None:
        self.tokens, self.measured, self.newlines = tokens, measured, newlines
        self._there = tokens.to(device)
        self._graph: tuple[TokenGraph, float] | None = None
        self._found: dict[tuple[Any, ...], dict[float | str | None, tuple[Analysis, float]]] = {}

    def budget(self, ratio: float) -> Budget:
        """The budget at a ratio."""
        return Budget(ratio, measured=self.measured, newlines=self.newlines)

    @cached_property
    def graph(self) -> TokenGraph:
        """The graph of the patches, in host memory, without newlines."""
        built = self._graph
        if built is not None and built[0].grid == self.tokens.grid:
            return built[0].to("cpu")
        return build_graph(self.tokens)

    def at(self, setting: Setting, ratio: float) -> Kept:
        """The tokens a setting keeps at a ratio.

        Raises
        ------
        UnknownNameError, InputError, MissingSignalError
            the setting is wrong, or cannot be met with these tokens
        """
        budget = self.budget(ratio)
        selector = setting.build(budget)
        if not isinstance(selector, StSimDiff):
            start = perf_counter()
            found = selector.select(self._there).to("cpu")
            return Kept(setting, ratio, found, None, perf_counter() - start)
        analysis, before = self._analysed(selector)
        start = perf_counter()
        found = selector.select_from(analysis, budget, self.tokens)
        return Kept(setting, ratio, found, analysis, before + perf_counter() - start)

    def analysis(self, setting: Setting) -> Analysis | None:
        """A setting's analysis, before any budget; None for a selector without communities."""
        selector = setting.build(self.budget(1.0))
        return self._analysed(selector)[0] if isinstance(selector, StSimDiff) else None

    def _built(self) -> tuple[TokenGraph, float]:
        """The graph on the compute device, and the seconds it took."""
        if self._graph is None:
            start = perf_counter()
            graph = build_graph(self.budget(1.0).view(self._there))
            self._graph = graph, perf_counter() - start
        return self._graph

    def _analysed(self, selector: StSimDiff) -> tuple[Analysis, float]:
        """The analysis in host memory, and the seconds it takes alone."""
        key = selector.communities_key
        under = self._found.pop(key, {})
        self._found[key] = under  # most recently used last
        while len(self._found) > _REMEMBERED:
            del self._found[next(iter(self._found))]
        tau = selector.tau_diff if selector.events else None
        if tau not in under:
            under[tau] = self._again(selector, *next(iter(under.values()))) if under else self._new(selector)
        return under[tau]

    def _new(self, selector: StSimDiff) -> tuple[Analysis, float]:
        selector.check_signals(self.tokens)
        graph, graph_s = self._built()
        budget = selector.budget
        start = perf_counter()
        there = selector.analyse(budget.view(self._there), graph).on_host()
        took = graph_s + perf_counter() - start
        return replace(there, tokens=budget.view(self.tokens), seconds={**there.seconds, "graph": graph_s}), took

    def _again(self, selector: StSimDiff, found: Analysis, took: float) -> tuple[Analysis, float]:
        """The same communities with a different event threshold."""
        selector.check_signals(self.tokens)
        return selector.with_events(found), took


def keep(
    tokens: VideoTokens,
    settings: Setting | str | Sequence[Setting | str] = "st-simdiff",
    ratios: float | Sequence[float] = 0.3,
    *,
    measured: str = "kept",
    newlines: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Iterator[Kept]:
    """Each setting at each retain ratio in turn: the graph is computed once, communities once for all settings that
    share them, events once per threshold.

    Parameters
    ----------
    tokens : VideoTokens, features [T, H, W, d]
    settings : names of selectors, or :class:`stgraph.Setting` to set parameters
    ratios : r in (0, 1], each keeps ceil(r N) of N tokens
    measured, newlines : see :class:`stgraph.Budget`
    device : where to compute, "cpu" or "cuda"; results lie in host memory
    progress : called with a label and the share of the work done, 0 to 1

    Yields
    ------
    Kept
        ``selection`` with K = ceil(r N) ``indices`` and ``reason`` codes, ``analysis``, ``seconds``; ratios of one
        setting follow each other

    Raises
    ------
    UnknownNameError, InputError
        a name or parameter is wrong
    MissingSignalError
        the tokens lack a signal that a selector needs
    UnavailableError
        no such device here; all of these before any work

    Examples
    --------
    >>> import stgraph
    >>> for kept in stgraph.keep(stgraph.sample(), ["st-simdiff", "uniform"], [0.1, 0.3]):
    ...     print(kept.setting, kept.ratio, len(kept.selection))
    st-simdiff 0.1 1024
    st-simdiff 0.3 3072
    uniform 0.1 1024
    uniform 0.3 3072
    """
    check_tokens(tokens, "keep")
    chosen, at = as_settings(settings), as_ratios(ratios)
    check_settings(chosen, at, measured, newlines)
    keeping = Keeping(tokens, measured=measured, newlines=newlines, device=device)
    for setting in chosen:
        setting.build(keeping.budget(at[0])).check_signals(tokens)
    return _each(keeping, chosen, at, progress or (lambda label, share: None))


def as_settings(settings: Setting | str | Sequence[Setting | str]) -> list[Setting]:
    """A list of settings from one or several, each a :class:`Setting` or a selector's name.

    Raises
    ------
    InputError
        something else
    """
    several = [settings] if isinstance(settings, (Setting, str)) else list(settings)
    for one in several:
        if not isinstance(one, (Setting, str)):
            raise InputError(f"a setting is {one!r}; pass the name of a selector or a stgraph.Setting")
    return [Setting(one) if isinstance(one, str) else one for one in several]


def as_ratios(ratios: float | Sequence[float]) -> list[float]:
    """A tuple of retain ratios from one or several."""
    return list(ratios) if isinstance(ratios, Iterable) else [ratios]


def _each(keeping: Keeping, settings: Sequence[Setting], ratios: Sequence[float], tell: Progress) -> Iterator[Kept]:
    for i, setting in enumerate(settings):
        tell(setting.label, i / len(settings))
        for ratio in ratios:
            yield keeping.at(setting, ratio)
    tell("done", 1.0)
