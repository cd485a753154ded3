"""Stages: where a selector cuts tokens inside a running model, and the attention each cut reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from stgraph.devices import to_host
from stgraph.errors import InputError
from stgraph.selection.result import Selection
from stgraph.tokens import VideoTokens

ATTENTION_SIGNALS = frozenset({"importance", "llm_attn_last", "llm_attn_layers", "seq_index"})
"""Signals that a running model gives: what its language model's last prompt token attends to."""

TEXT_SIGNALS = frozenset(
    {
        *("llm_attn_textmax", "llm_attn_text", "llm_attn_text_even", "llm_attn_text_sum", "llm_attn_visual_mean"),
        *("llm_keys", "llm_hidden"),
    }
)
"""Signals that a running model gives to stages that read attention by text."""

READINGS = ("last", "text", "product", "keys", "raters", "raters-even")
"""Whose attention a stage may read; see :class:`AttentionRead`."""

PROMPT_SIGNALS = frozenset({"text_embeds"})
"""Signals that lie in the prompt itself, before any layer has run."""


@dataclass(frozen=True)
class AttentionRead:
    """Attention to each visual token in one decoder layer, read for a cut.

    Attributes
    ----------
    layer : decoder layer, from 0, that the authors read; None if they do not say
    fixed : whether only that layer is valid; otherwise the caller may name a different one
    by : "last": of the last prompt token, mean over heads; "text": maximum over heads and the text tokens after the
        video; "product": the sum over these text tokens times the mean over the remaining visual tokens, both of the
        maximum over heads; "raters": of each of the text tokens that :attr:`Waiting.queries` names, mean over heads;
        "raters-even": the same where each weight is divided by what all-ones queries and keys give under the layer's
        rotation, over the 14 heads (half of them if fewer than 28) that attend most to the remaining tokens. All but
        "last" are read only between decoder layers, from a layer before the stage's
    """

    layer: int | None = None
    fixed: bool = False
    by: str = "last"

    def at(self, named: int) -> int:
        """The layer to read if the caller names ``named``."""
        return self.layer if self.fixed and self.layer is not None else named


@dataclass(frozen=True)
class Stage:
    """A cut of the visual tokens.

    Attributes
    ----------
    layer : decoder layer, from 0, before which tokens are cut; 0 is before the language model
    attention : the attention that ranks the tokens; None if the language model's attention is not used
    states : hidden states also read, and possibly merged: "input", those entering ``layer``, "normed", these under the
        language model's final norm, or "mlp", those entering the feed-forward block of the layer before; None for none,
        as always at ``layer`` 0
    text : whether the text tokens after the video are read, too; their values follow those of the video's rows
    caches : whether dropped tokens are also removed from the caches of the layers before, so that generated tokens do
        not see them in any layer
    onwards : whether the stage may repeat before each deeper layer, with the attention of a correspondingly deeper
        layer
    """

    layer: int = 0
    attention: AttentionRead | None = None
    states: str | None = None
    text: bool = False
    caches: bool = False
    onwards: bool = False

    def unrolled(self, n_layers: int) -> tuple[Stage, ...]:
        """This stage, followed by its possible repetitions in a language model of ``n_layers``."""
        found: tuple[Stage, ...] = (replace(self, onwards=False),)
        read = self.attention
        for deeper in range(1, n_layers - self.layer if self.onwards else 1):
            if read is not None and read.layer is not None:
                read = replace(read, layer=read.layer + 1)
            found += (replace(found[0], layer=self.layer + deeper, attention=read),)
        return found


@dataclass(frozen=True, eq=False)
class Waiting:
    """A selection waiting for the attention of a stage.

    Attributes
    ----------
    stage : the stage it waits for
    rows : [k] int64, ascending: rows of the tokens that remain until then and take part in the attention; None for all
    resume : continues with the attention to each row, [n] float64, 0 at rows that took no part, on the device of the
        tokens; None if the stage reads none, [q, n] for raters. States, if read, are a second argument, [k, d] of
        ``rows``. If text is read, too, its m tokens follow in both. Returns the selection or the next
        :class:`Waiting`, or a :class:`Merged` of either if states are merged
    assignment : [k, n] scipy.sparse.csr_array over the rows of the tokens, if the remaining ones are weighted sums:
        merged once, before the language model. The resulting selection has an assignment, too
    positions : "original", or "compact" if rows are renumbered before the language model, which overrides the
        selection's own
    queries : [q] int64: text tokens after the video that rate the tokens; None if none do
    """

    stage: Stage
    rows: Any
    resume: Callable[..., Selection | Waiting | Merged]
    assignment: Any = None
    positions: str = "original"
    queries: Any = None


@dataclass(frozen=True, eq=False)
class Merged:
    """Continuation with hidden states merged by a stage.

    Attributes
    ----------
    state : the selection, which has an assignment, or the next :class:`Waiting`
    weights : [k', k] scipy.sparse.csr_array: the remaining rows as weighted sums of the previous ones
    """

    state: Selection | Waiting
    weights: Any


class _Selecting(Protocol):
    def select(self, tokens: VideoTokens) -> Selection: ...


def stages_by_signals(requires: frozenset[str], layer: int = 0) -> tuple[Stage, ...]:
    """The stages of a selector that reads attention as a signal of the tokens: one, before ``layer``."""
    return (Stage(layer, AttentionRead() if requires & ATTENTION_SIGNALS else None),)


def begin_by_signals(
    selector: _Selecting, stages: tuple[Stage, ...], tokens: VideoTokens, layer: int
) -> Selection | Waiting:
    """The selection of a selector that reads attention as a signal: at once, or once the attention of ``layer`` is
    there."""
    reading = [stage for stage in stages if stage.attention is not None]
    if not reading:
        return selector.select(tokens)
    return Waiting(reading[0], None, lambda attention: selector.select(with_attention(tokens, attention, layer)))


def with_attention(tokens: VideoTokens, found: Any, layer: int) -> VideoTokens:
    """The tokens with a decoder layer's attention to each row, [n], as a dump would carry it."""
    attention = to_host(found)
    signals: dict[str, np.ndarray[Any, Any]] = {
        **tokens.signals,
        "importance": attention[tokens.grid.rows].astype(np.float32).reshape(tokens.grid.shape),
        "llm_attn_last": attention[None].astype(np.float32),
        "llm_attn_layers": np.array([layer], np.int32),
        "seq_index": np.arange(tokens.grid.n_tokens),
    }
    return VideoTokens(tokens.features, tokens.grid, signals, tokens.metadata)


def check_stages(by: str, stages: Any) -> tuple[Stage, ...]:
    """Return a third party's ``stages`` after checking them.

    Raises
    ------
    InputError
        not a tuple of :class:`Stage`, a layer that is not an integer from 0 on, or layers that go back
    """
    if not isinstance(stages, tuple) or not stages or not all(isinstance(stage, Stage) for stage in stages):
        raise InputError(f"{by}: stages() returned {stages!r}; it must return a tuple of Stage(...), at least one")
    reads = [stage.attention for stage in stages if stage.attention is not None]
    if not all(isinstance(read, AttentionRead) for read in reads):
        raise InputError(f"{by}: the attention of a stage must be an AttentionRead(...) or None")
    if not all(read.by in READINGS for read in reads):
        raise InputError(f"{by}: attention must be read by one of {', '.join(map(repr, READINGS))}")
    layers = [stage.layer for stage in stages]
    for layer in [*layers, *(read.layer for read in reads if read.layer is not None)]:
        if not isinstance(layer, (int, np.integer)) or isinstance(layer, bool) or layer < 0:
            raise InputError(f"{by}: a stage names the layer {layer!r}; it must be an integer from 0 on")
    for stage in stages:
        if stage.states not in (None, "input", "normed", "mlp") or (stage.states is not None and not stage.layer):
            raise InputError(
                f"{by}: a stage before layer {stage.layer} reads the states {stage.states!r}; they must be 'input', "
                "'normed' or 'mlp', before a layer from 1 on, or None"
            )
    if layers != sorted(layers):
        raise InputError(f"{by}: stages() name the layers {layers}; they must be in the order in which they are run")
    return stages
