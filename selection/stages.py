"""Stages: where a selector cuts tokens inside a running model, and which attention it reads to do so."""

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

TEXT_SIGNALS = frozenset({"llm_attn_textmax", "llm_attn_text", "llm_attn_text_even"})
"""Signals that a running model gives to stages that read attention by text."""

READINGS = ("last", "text", "raters", "raters-even")
"""Whose attention a stage may read; see :class:`AttentionRead`."""

PROMPT_SIGNALS = frozenset({"text_embeds"})
"""Signals that lie in the prompt itself, before any layer has run."""


@dataclass(frozen=True)
class AttentionRead:
    """Attention to each visual token in one decoder layer.

    Attributes
    ----------
    layer : from 0, the one the authors read; None where they do not say
    fixed : whether only that layer will do; otherwise who runs the model may name another
    by : "last": of the last prompt token, mean over heads; "text": maximum over heads and the text tokens behind the
        video; "raters": of each of the text tokens that :attr:`Waiting.queries` names, mean over heads; "raters-even":
        the same where each weight is divided by what all-ones queries and keys give under the layer's rotation, over
        the 14 heads (half of fewer than 28) that attend most to the tokens that are left. All but the last prompt
        token's are read between decoder layers alone, from a layer before the stage's
    """

    layer: int | None = None
    fixed: bool = False
    by: str = "last"

    def at(self, named: int) -> int:
        """The layer that is read where who runs the model names ``named``."""
        return self.layer if self.fixed and self.layer is not None else named


@dataclass(frozen=True)
class Stage:
    """One cut of the visual tokens.

    Attributes
    ----------
    layer : decoder layer, from 0, before which the authors cut; 0 is before the language model
    attention : what the tokens are ranked by there; None: by nothing that the language model knows
    states : hidden states that are read, too, and may be merged: "input", those that enter ``layer``, or "mlp", those
        that enter the feed-forward block of the layer before; None: none. Not where ``layer`` is 0
    caches : whether what is generated does not see the tokens that go in the layers before either, as where their
        caches are cut
    onwards : whether there may be such a stage before each deeper layer, too, by the attention of as much deeper a one
    """

    layer: int = 0
    attention: AttentionRead | None = None
    states: str | None = None
    caches: bool = False
    onwards: bool = False

    def unrolled(self, n_layers: int) -> tuple[Stage, ...]:
        """This stage, and those that may follow it in a language model of ``n_layers`` where it goes on."""
        found: tuple[Stage, ...] = (replace(self, onwards=False),)
        read = self.attention
        for deeper in range(1, n_layers - self.layer if self.onwards else 1):
            if read is not None and read.layer is not None:
                read = replace(read, layer=read.layer + 1)
            found += (replace(found[0], layer=self.layer + deeper, attention=read),)
        return found


@dataclass(frozen=True, eq=False)
class Waiting:
    """A selection that waits for the attention of a stage.

    Attributes
    ----------
    stage : the one that waits
    rows : [k] int64, ascending: rows of the tokens that are left until then, and take part in the attention that is
        read; None: all
    resume : continues with the attention to each row, [n] float64, 0 at rows that took no part; an array where the
        tokens are, None where the stage reads none, [q, n] where raters are read. Where it reads states, they are a
        second argument, [k, d] of ``rows``. Gives the selection, or what waits for the next stage; a :class:`Merged`
        of one where it merges states
    assignment : [k, n] scipy.sparse.csr_array over the rows of the tokens, where those that are left are weighted sums:
        merged once, before the language model. The selection that follows has an assignment, too
    positions : "original", or "compact" where rows are renumbered before the language model; the selection's own do
        not count then
    queries : [q] int64: which of the text tokens behind the video rate the tokens; None where none do
    """

    stage: Stage
    rows: Any
    resume: Callable[..., Selection | Waiting | Merged]
    assignment: Any = None
    positions: str = "original"
    queries: Any = None


@dataclass(frozen=True, eq=False)
class Merged:
    """What goes on with hidden states that a stage has merged.

    Attributes
    ----------
    state : the selection, or what waits for the next stage. A selection has an assignment
    weights : [k', k] scipy.sparse.csr_array: the rows that are left now as weighted sums of those that were
    """

    state: Selection | Waiting
    weights: Any


class _Selecting(Protocol):
    def select(self, tokens: VideoTokens) -> Selection: ...


def stages_by_signals(requires: frozenset[str], layer: int = 0) -> tuple[Stage, ...]:
    """The one stage, before ``layer``, of a selector that reads attention as a signal of the tokens, or none."""
    return (Stage(layer, AttentionRead() if requires & ATTENTION_SIGNALS else None),)


def begin_by_signals(
    selector: _Selecting, stages: tuple[Stage, ...], tokens: VideoTokens, layer: int
) -> Selection | Waiting:
    """The selection of a selector that reads attention as a signal: at once, or when there is that of ``layer``."""
    reading = [stage for stage in stages if stage.attention is not None]
    if not reading:
        return selector.select(tokens)
    return Waiting(reading[0], None, lambda attention: selector.select(with_attention(tokens, attention, layer)))


def with_attention(tokens: VideoTokens, found: Any, layer: int) -> VideoTokens:
    """The tokens with attention to each row, [n], of a decoder layer, as a dump would carry it."""
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
    """``stages`` as a third party's selector states them, if they can be ones.

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
        raise InputError(f"{by}: attention must be read by 'last' or 'text'")
    layers = [stage.layer for stage in stages]
    for layer in [*layers, *(read.layer for read in reads if read.layer is not None)]:
        if not isinstance(layer, (int, np.integer)) or isinstance(layer, bool) or layer < 0:
            raise InputError(f"{by}: a stage names the layer {layer!r}; it must be an integer from 0 on")
    for stage in stages:
        if stage.states not in (None, "input", "mlp") or (stage.states is not None and not stage.layer):
            raise InputError(
                f"{by}: a stage before layer {stage.layer} reads the states {stage.states!r}; they must be 'input' or "
                "'mlp', before a layer from 1 on, or None"
            )
    if layers != sorted(layers):
        raise InputError(f"{by}: stages() name the layers {layers}; they must be in the order in which they are run")
    return stages
