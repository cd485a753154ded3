"""A cut before one decoder layer, by the attention of the last prompt token in the layer before it."""

from __future__ import annotations

from typing import ClassVar

from stgraph.aliases import Array
from stgraph.selection.method import Method
from stgraph.selection.signals.attention import layer_attention
from stgraph.selection.stages import AttentionRead, Stage
from stgraph.tokens import VideoTokens


class AttentionCut(Method):
    """Base of selectors with such a cut (FastV, and the inner cuts of HoliTom and FlashVID); attention is the mean over
    heads. Subclasses are dataclasses with fields ``layer`` and ``n_layers``."""

    layer: int

    needs: ClassVar[frozenset[str]] = frozenset({"llm_attn_last", "llm_attn_layers", "seq_index"})
    states: ClassVar[str | None] = None  # of the stage

    @property
    def prune_layer(self) -> int:  # type: ignore[override]
        """The first layer that sees only the kept tokens."""
        return self.layer

    def inner_stage(self) -> Stage:
        """The cut before ``layer``, which needs the attention of exactly the layer before it."""
        return Stage(self.layer, AttentionRead(self.layer - 1, fixed=True), states=self.states)

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` lack a signal or the attention of the layer before ``layer``."""
        super().check_signals(tokens)
        self.attention_of(tokens)

    def attention_of(self, tokens: VideoTokens) -> Array:
        """[N] float64 attention of the layer before ``layer``, from the dump."""
        return layer_attention(tokens, self.layer - 1, self.name)
