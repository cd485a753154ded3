"""Checks of a selector's result before anything relies on it: count, range, order, uniqueness, dtype, kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stgraph.devices import dtype_name, is_tensor, to_host
from stgraph.errors import InputError
from stgraph.grid import NEWLINE, PATCH
from stgraph.registry import is_foreign, naming
from stgraph.selection.finite import check_features
from stgraph.selection.result import Selection
from stgraph.selection.stages import Stage, Waiting, begin_by_signals, check_stages, stages_by_signals
from stgraph.tokens import VideoTokens

_POSITIONS = ("original", "compact")


def check_rows(by: str, what: str, rows: Any, n: int, expected: int | None, *, read: bool = True) -> None:
    """Raise InputError unless ``rows`` are ascending, unique integers in [0, n), ``expected`` of them.

    Parameters
    ----------
    by, what : the selector and the name of its result, for the message
    rows : [K] int64, NumPy array or torch tensor
    n : number of tokens
    expected : K, or None if it depends on the features
    read : False leaves values on a GPU unread, to avoid waiting
    """
    if not is_tensor(rows) and not isinstance(rows, np.ndarray):
        raise InputError(f"{by}: {what} are {type(rows).__name__}; they must be an array of int64")
    if rows.ndim != 1 or dtype_name(rows) != "int64":
        raise InputError(f"{by}: {what} are {dtype_name(rows)} of shape {tuple(rows.shape)}; they must be int64 [K]")
    if expected is not None and len(rows) != expected:
        raise InputError(f"{by}: {len(rows):,} {what} were chosen, but count() promises {expected:,}")
    if not len(rows) or (is_tensor(rows) and not read):
        return
    falls = rows[1:] <= rows[:-1]
    if bool(falls.any()):
        at = int(falls.nonzero()[0][0])
        a, b = int(rows[at]), int(rows[at + 1])
        wrong = f"{a} stands twice" if a == b else f"{b} follows {a}"
        raise InputError(f"{by}: {what} must be ascending and unique, but {wrong}; use np.unique")
    if int(rows[0]) < 0 or int(rows[-1]) >= n:
        raise InputError(f"{by}: {what} run from {int(rows[0])} to {int(rows[-1])}; there are {n:,} tokens")


def check_selection(by: str, found: Any, tokens: VideoTokens, expected: int | None) -> Selection:
    """Return ``found`` after checking that it is a valid selection of ``tokens``.

    Raises
    ------
    InputError
        ``found`` is wrong; the message names the selector
    """
    if not isinstance(found, Selection):
        raise InputError(f"{by} returned {type(found).__name__}; select() must return a stgraph.Selection")
    if found.grid.n_tokens != tokens.grid.n_tokens or found.grid.shape != tokens.grid.shape:
        raise InputError(f"{by}: the selection is of grid {found.grid}, the tokens of {tokens.grid}")
    check_rows(by, "indices", found.indices, tokens.grid.n_tokens, expected)
    n_kept = len(found.indices)
    if tokens.grid.kind is not None:
        kinds = tokens.grid.kind[to_host(found.indices)]
        wrong = np.flatnonzero(kinds > (NEWLINE if found.account.newlines == "in" else PATCH))
        if wrong.size:
            raise InputError(
                f"{by}: index {int(found.indices[wrong[0]])} is not a patch; rows of patches are tokens.grid.rows"
            )
    for name in ("reason", "scores"):
        part = getattr(found, name)
        if getattr(part, "shape", None) is None or tuple(part.shape) != (n_kept,):
            raise InputError(f"{by}: {name} must be an array with one value for each of the {n_kept:,} kept tokens")
    if found.kind not in ("subset", "merge"):
        raise InputError(f"{by}: kind is {found.kind!r}; it must be 'subset' or 'merge'")
    if found.positions not in _POSITIONS:
        raise InputError(f"{by}: positions is {found.positions!r}; it must be 'original' or 'compact'")
    merged = {"features": (n_kept, tokens.dimension), "assignment": (n_kept, tokens.grid.n_tokens)}
    for name, shape in merged.items():
        part = getattr(found, name)
        if found.kind == "subset" and part is not None:
            raise InputError(f"{by}: a selection of kind 'subset' has no {name}; use kind 'merge' if tokens are")
        if found.kind == "merge" and tuple(getattr(part, "shape", ())) != shape:
            raise InputError(f"{by}: {name} of a merge must have shape {list(shape)}")
    if found.account.n_kept != n_kept:
        raise InputError(f"{by}: account.n_kept is {found.account.n_kept}, but {n_kept} tokens are kept")
    return found


class CheckedSelector:
    """Wrapper of a third party's selector: omitted members take their defaults, and every selection is checked."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_inner":  # requested while being copied or unpickled
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def on_gpu(self) -> bool:
        """Whether it computes on a GPU."""
        return bool(getattr(self._inner, "on_gpu", False))

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` lack a signal."""
        if hasattr(self._inner, "check_signals"):
            self._inner.check_signals(tokens)
            return
        for signal in sorted(self._inner.requires):
            tokens.signal(signal, self._inner.name)

    def stages(self) -> tuple[Stage, ...]:
        """Its cuts inside a running model."""
        if hasattr(self._inner, "stages"):
            return check_stages(self._by, self._inner.stages())
        return stages_by_signals(self._inner.requires)

    def select(self, tokens: VideoTokens, budget: Any = None) -> Selection:
        """The inner selector's selection.

        Raises
        ------
        FeatureError
            a token holds NaN or Inf, which every selector refuses
        InputError
            the result is not a selection of ``tokens``, or does not keep as many as ``count`` promises
        UnavailableError
            its code raised another exception, which is this error's cause
        """
        check_features(tokens)
        with naming(self._by, self._inner):
            found = self._inner.select(tokens, budget)
        return check_selection(self._by, found, tokens, self._inner.count(tokens.grid, budget))

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """The same inside a running model, whose attention in ``layer`` will be read."""
        if not hasattr(self._inner, "begin"):
            return begin_by_signals(self, self.stages(), tokens, layer)
        check_features(tokens)
        with naming(self._by, self._inner):
            state = self._inner.begin(tokens, layer)
        return self._checked(state, tokens)

    def _checked(self, state: Any, tokens: VideoTokens, before: Stage | None = None) -> Selection | Waiting:
        if not isinstance(state, Waiting):
            return check_selection(self._by, state, tokens, self._inner.count(tokens.grid))
        if state.rows is not None:
            check_rows(self._by, "rows", state.rows, tokens.grid.n_tokens, None)
        if state.assignment is not None and state.rows is None:
            raise InputError(
                f"{self._by} waits with an assignment and without rows, at which merged tokens would stand"
            )
        if state.assignment is not None and state.assignment.shape != (len(state.rows), tokens.grid.n_tokens):
            raise InputError(
                f"{self._by} waits with an assignment of shape {list(state.assignment.shape)}; it must have shape "
                f"{[len(state.rows), tokens.grid.n_tokens]}"
            )
        if state.stage not in self.stages():
            raise InputError(f"{self._by} waits for {state.stage}, which is not in stages()")
        if before is not None and state.stage.layer < before.layer:
            raise InputError(f"{self._by} waits for {state.stage} after {before}, which comes later in the model")

        def resume(attention: Any) -> Selection | Waiting:
            with naming(self._by, self._inner):
                after = state.resume(attention)
            return self._checked(after, tokens, state.stage)

        return replace(state, resume=resume)

    @property
    def _by(self) -> str:
        return f"selector {self._inner.name}"


def checked(selector: Any) -> Any:
    """A :class:`stgraph.selection.base.Selector` from at least a minimal one: the object itself if this library makes
    and checks its selections, otherwise wrapped in a check."""
    made_by = [getattr(type(selector), method) for method in ("select", "begin") if hasattr(type(selector), method)]
    return CheckedSelector(selector) if len(made_by) < 2 or any(map(is_foreign, made_by)) else selector
