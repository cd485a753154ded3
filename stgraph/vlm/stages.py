"""From one video's tokens to a selection, with a pass through the first decoder layers in between where needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from stgraph.devices import beside, to_host
from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.attention import SHALLOW_LAYER
from stgraph.selection.base import Selector
from stgraph.selection.method import Method, approximate
from stgraph.selection.result import Selection
from stgraph.selection.rivals.fastv import FastV
from stgraph.selection.st_simdiff import StSimDiff
from stgraph.selection.st_simdiff_released import StSimDiffReleased
from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]

LIVE_SIGNALS = frozenset({"importance", "llm_attn_last", "llm_attn_layers", "seq_index"})
_NEUTRAL = "difference-then-centrality"  # ranks nothing: used where no candidate is surplus
_BEFORE = "pruned before the LLM, where the authors prune inside it"


@dataclass(frozen=True, eq=False)
class Pending:
    """A video that waits for the probe.

    Attributes
    ----------
    candidates : rows of the tokens that take part in the probe pass, ascending; None: all of them
    layer : decoder layer to probe
    finish : from the attention to all columns of the prompt, [S] float64 (0 where a column took no part), where the
        tokens are, to the result
    """

    candidates: Any
    layer: int
    finish: Callable[[Any], Selection]


def check_selector(selector: Any) -> None:
    """Raise unless ``selector`` can work in a running model."""
    if not isinstance(selector, Selector):
        raise InputError(f"selector is {type(selector).__name__}; pass stgraph.selector(name, retain_ratio=...)")
    lacking = sorted(selector.requires - LIVE_SIGNALS)
    if lacking:
        raise MissingSignalError(
            f"{selector.name} needs the signal {lacking[0]!r}, which compress() does not read from a running model: "
            "signals of the vision encoder are available through token dumps. Select from a dump that carries it, or "
            "compress with a selector that needs features or the LLM's attention alone"
        )
    if isinstance(selector, Method) and selector.budget.measured == "layers" and selector.prune_layer:
        raise InputError(
            f"{selector.name} with measured='layers' counts on pruning inside the LLM, but compress() prunes before "
            "the first layer: use measured='kept'"
        )


def probe_layer_of(selector: Selector, probe_layer: int) -> int | None:
    """The decoder layer whose attention the selector needs; None where it needs none."""
    if isinstance(selector, FastV):
        return selector.layer - 1
    if isinstance(selector, (StSimDiff, StSimDiffReleased)):
        named = isinstance(selector.importance, str) and selector.importance in ("auto", "attention")
        return probe_layer if named and selector.reduce else None
    return probe_layer if selector.requires & LIVE_SIGNALS else None


def begin(selector: Selector, tokens: VideoTokens, start: int, probe_layer: int) -> Selection | Pending:
    """Select, or go as far as is possible without attention.

    Parameters
    ----------
    start : column of the prompt at which the tokens start
    probe_layer : decoder layer for selectors that do not name their own
    """
    layer = probe_layer_of(selector, probe_layer)
    if isinstance(selector, StSimDiff):
        return _paper(selector, tokens, start, layer)
    if isinstance(selector, StSimDiffReleased):
        return _released(selector, tokens, start, layer)
    if layer is None:
        return selector.select(tokens)
    return _attended(selector, tokens, start, layer)


def exactness_of(selection: Selection, layer: int | None, selector: Selector, departure: str | None = None) -> str:
    """The selection's exactness, and how the run departs from the authors beyond it: by ``departure``, for one."""
    reasons = [] if selection.exactness == "exact" else [selection.exactness.removeprefix("approximate: ")]
    if selection.account.prune_layer:
        reasons.append(_BEFORE)
    if layer not in (None, SHALLOW_LAYER) and isinstance(selector, (StSimDiff, StSimDiffReleased)):
        reasons.append(f"attention of decoder layer {layer}; the authors take layer {SHALLOW_LAYER}")
    if departure is not None:
        reasons.append(departure)
    return approximate(*reasons)


def _attended(selector: Selector, tokens: VideoTokens, start: int, layer: int) -> Selection | Pending:
    """A selector that reads attention as a signal: that of the whole sequence."""

    def finish(attention: Any) -> Selection:
        return selector.select(_with_attention(tokens, attention, start, layer))

    if isinstance(selector, Method) and _keeps_all(selector, tokens):
        return finish(np.zeros(start + tokens.grid.n_tokens))
    return Pending(None, layer, finish)


def _paper(selector: StSimDiff, tokens: VideoTokens, start: int, layer: int | None) -> Selection | Pending:
    """ST-SimDiff: graph, communities and events once; the candidates are probed where some are surplus."""
    if layer is None:
        return _as_given(selector).select(tokens)
    budget = selector.budget
    view = budget.view(tokens)
    analysis = selector.analyse(view)
    candidates = _as_given(selector, importance=_NEUTRAL, reduce=False).select_from(analysis, budget, tokens)
    if not candidates.report["excess"]:
        return _as_given(selector, importance=_NEUTRAL).select_from(analysis, budget, tokens)

    def finish(attention: Any) -> Selection:
        importance = attention[beside(start + view.grid.rows, attention)]
        return _as_given(selector, importance=importance).select_from(analysis, budget, tokens)

    return Pending(candidates.indices, layer, finish)


def _as_given(selector: StSimDiff, **changes: Any) -> StSimDiff:
    """The same configuration with changes, also where a named preset fixes what is changed."""
    if not changes:
        return selector
    return StSimDiff(**{f.name: getattr(selector, f.name) for f in fields(StSimDiff)} | changes)


def _released(selector: StSimDiffReleased, tokens: VideoTokens, start: int, layer: int | None) -> Selection | Pending:
    """The published code: the survivors are probed. Selecting twice costs less than keeping half a selection."""
    view = selector.budget.view(tokens, selector.newlines)
    if layer is None or _keeps_all(selector, tokens):
        return (replace(selector, importance=_NEUTRAL) if layer is not None else selector).select(tokens)
    survivors = replace(selector, importance=_NEUTRAL, reduce=False).select(tokens)

    def finish(attention: Array) -> Selection:
        return replace(selector, importance=attention[start + view.grid.rows]).select(tokens)

    return Pending(survivors.indices, layer, finish)


def _keeps_all(selector: Method, tokens: VideoTokens) -> bool:
    """Whether the budget leaves nothing to decide."""
    grid = selector.budget.lattice(tokens.grid, selector.newlines)
    return selector.budget.count(grid, selector.prune_layer, selector.n_layers) == grid.n_nodes


def _with_attention(tokens: VideoTokens, found: Any, start: int, layer: int) -> VideoTokens:
    """The tokens with what the probe saw, as a dump would carry it."""
    attention = to_host(found)
    at = np.arange(start, start + tokens.grid.n_tokens)
    signals: dict[str, Array] = {
        "importance": attention[at[tokens.grid.rows]].astype(np.float32).reshape(tokens.grid.shape),
        "llm_attn_last": attention[None].astype(np.float32),
        "llm_attn_layers": np.array([layer], np.int32),
        "seq_index": at,
    }
    return VideoTokens(tokens.features, tokens.grid, signals, tokens.metadata)
