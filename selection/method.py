"""Base class of selectors: checks, newline policy, exact budget, and conversion of a choice to a Selection."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.registry import is_foreign, naming
from stgraph.selection.budget import Budget
from stgraph.selection.choice import Choice as Choice
from stgraph.selection.choice import check_choice
from stgraph.selection.choice import finish as finish
from stgraph.selection.choice import keep_everything as keep_everything
from stgraph.selection.finite import check_features
from stgraph.selection.result import Selection
from stgraph.selection.stages import Stage, Waiting, begin_by_signals, stages_by_signals, with_attention
from stgraph.spelling import Spelled
from stgraph.tokens import VideoTokens, check_tokens

_log = logging.getLogger("stgraph")


@dataclass(frozen=True, kw_only=True)
class Method(Spelled, ABC):
    """Base of the selectors: a subclass states its signals and implements :meth:`choose`.

    Attributes
    ----------
    budget : how many tokens to keep
    """

    budget: Budget

    name: ClassVar[str]
    paper: ClassVar[str]
    requires: ClassVar[frozenset[str]] = frozenset()
    quadratic: ClassVar[bool] = False  # whether the published algorithm compares all pairs among some tokens
    newlines: ClassVar[str] = "out"  # how the authors count newline tokens
    on_gpu: ClassVar[bool] = False  # whether :meth:`choose` accepts features on a GPU
    # Not ClassVar, so that a subclass may turn them into parameters or properties.
    prune_layer = 0  # the LLM layer at which the method prunes
    n_layers = 28  # of the LLM; used only if prune_layer > 0
    fits_budget = True  # whether exactly n_keep tokens are returned
    chooses_all = False  # whether :meth:`choose` is called even if nothing is dropped: it says why tokens stay
    checks_features: ClassVar[bool] = False  # whether :meth:`choose` refuses NaN and Inf in any token by itself

    @abstractmethod
    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Choose from ``tokens``, whose grid holds exactly the nodes that count.

        1 <= n_keep < N; n_keep may equal N for a method that does not fit the budget.
        """

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` lack a signal this method requires."""
        for signal in sorted(self.requires):
            tokens.signal(signal, self.name)

    def count(self, grid: TokenGrid, budget: Budget | None = None) -> int | None:
        """The exact number of tokens that will be kept; None if it depends on the features."""
        budget = budget or self.budget
        if not self.fits_budget:
            return None
        return self._n_keep(budget.lattice(grid, self.newlines), budget)

    def _n_keep(self, grid: TokenGrid, budget: Budget) -> int:
        """Number of nodes of ``grid`` that the budget keeps."""
        return budget.count(grid, self.prune_layer, self.n_layers)

    def select(self, tokens: VideoTokens, budget: Budget | None = None) -> Selection:
        """Keep exactly ``count(tokens.grid, budget)`` tokens; all of them, unchanged, if that is N.

        Features on a GPU are copied to host memory unless the method is :attr:`on_gpu`, and the report says so under
        ``host_copy``; the selection is returned on the device of the features.

        Raises
        ------
        MissingSignalError
            a signal the method requires is absent; raised before any work
        FeatureError
            a token holds NaN or Inf, whether the method reads features or not
        """
        check_tokens(tokens, self.name)
        self.check_signals(tokens)
        budget = budget or self.budget
        if tokens.on_gpu and not self.on_gpu:
            return _through_host(self, tokens, budget)
        start = perf_counter()
        view = budget.view(tokens, self.newlines)
        self._check_newlines(tokens, view)
        n_keep = self._n_keep(view.grid, budget)
        whole = n_keep == view.grid.n_nodes and self.fits_budget and not self.chooses_all
        if whole or not self.checks_features or self._is_foreign:
            check_features(view)
        with naming(f"selector {self.name}", type(self).choose):
            choice = keep_everything(view) if whole else self.choose(view, n_keep, budget)
        expected = n_keep if self.fits_budget else None
        check_choice(self.name, choice, view.grid.n_nodes, expected, read=self._is_foreign)
        return self.finish(choice, tokens, view, budget, {"selection": perf_counter() - start})

    def finish(
        self,
        choice: Choice,
        tokens: VideoTokens,
        view: VideoTokens,
        budget: Budget,
        seconds: Mapping[str, float] | None = None,
    ) -> Selection:
        """The Selection of a choice among the nodes of ``view``, the tokens that count."""
        parameters = self.parameters() if choice.provenance is None else choice.provenance
        provenance = {"selector": self.name, "paper": self.paper, **parameters}
        return finish(choice, tokens, view, budget, provenance, choice.seconds or seconds or {}, self.n_layers)

    def stages(self) -> tuple[Stage, ...]:
        """The cut inside a running model: a single one, by attention if the method needs it as a signal."""
        return stages_by_signals(self.requires, self.prune_layer)

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Select inside a running model, whose attention in decoder layer ``layer`` is read if needed.

        Parameters
        ----------
        tokens : as the language model receives them, without signals
        """
        stages = self.stages()
        if any(stage.attention for stage in stages) and self.keeps_all(tokens.grid):
            return self.select(with_attention(tokens, np.zeros(tokens.grid.n_tokens), layer))
        return begin_by_signals(self, stages, tokens, layer)

    def keeps_all(self, grid: TokenGrid) -> bool:
        """Whether the budget leaves nothing to decide."""
        view = self.budget.lattice(grid, self.newlines)
        return self._n_keep(view, self.budget) == view.n_nodes

    @property
    def _is_foreign(self) -> bool:
        """Whether the choosing code is a third party's."""
        return is_foreign(type(self).choose)

    def _check_newlines(self, tokens: VideoTokens, view: VideoTokens) -> None:
        """Refuse newlines in ``view`` for encoder signals, which have no value there; attention signals check this
        themselves."""
        lost = sorted(self.requires & tokens.signals.keys() - view.signals.keys() - {"importance"})
        if lost:
            raise InputError(
                f"{self.name}: the signal {lost[0]!r} has no value for newline tokens, which count here; "
                "pass newlines='out'"
            )

    def parameters(self) -> dict[str, Any]:
        """The method's parameters as plain values; arrays are named, not copied."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "budget"}
        plain = (str, int, float, bool, type(None))
        lists = {n: list(v) for n, v in values.items() if isinstance(v, tuple) and all(isinstance(i, plain) for i in v)}
        return {name: value if isinstance(value, plain) else "given" for name, value in values.items()} | lists


@dataclass(frozen=True, kw_only=True)
class FittedMethod(Method):
    """Base of selectors whose authors do not keep ceil(r N) tokens.

    Attributes
    ----------
    exact_count : False follows the authors' count, which depends on the features
    """

    exact_count: bool = True

    @property
    def fits_budget(self) -> bool:  # type: ignore[override]
        """Whether exactly n_keep tokens are returned."""
        return self.exact_count


def approximate(*reasons: str) -> str:
    """Exactness of a choice that departs from its authors' method for these reasons; "exact" if there are none."""
    return f"approximate: {'; '.join(reasons)}" if reasons else "exact"


def host_copy(selector: str, device: str) -> str:
    """Why features are copied to host memory, for reports and statistics."""
    return f"{selector} does not compute on {device}, where the features were"


def _through_host(method: Method, tokens: VideoTokens, budget: Budget) -> Selection:
    """Select with a CPU method, and return the selection on the device of the features."""
    found = method.select(tokens.to("cpu"), budget)
    reason = host_copy(method.name, tokens.device)
    _log.info("%s", reason)
    report = {**found.report, "host_copy": reason}
    return replace(found.beside(tokens.features), report=report)


def check_share(name: str, value: Any, low: float = 0.0, high: float = 1.0) -> None:
    """Raise InputError unless ``value`` is a number in [low, high]."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise InputError(f"{name} is {value!r}; it must be a number in [{low:g}, {high:g}]")


def check_finite(name: str, values: Array) -> None:
    """Raise InputError, naming the first bad token, if ``values`` ([N] or [N, c], one row per token) hold NaN or
    Inf."""
    good = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not good.all():
        at = int(np.argmin(good))
        raise InputError(f"{name} is {'NaN' if np.isnan(values[at]).any() else 'infinite'} at token {at}; replace it")
