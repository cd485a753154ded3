"""PruneVid in full: its merging before the LLM, and a cut inside by the attention of the prompt's text."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar

import numpy as np

from stgraph.errors import InputError
from stgraph.selection.budget import Budget, exact_ratio
from stgraph.selection.method import Choice, approximate
from stgraph.selection.rivals.prunevid import PruneVid, chosen, shared
from stgraph.selection.signals.attention import sequence_values
from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class PruneVidAttention(PruneVid):
    """PruneVid in full: merged as in :class:`PruneVid`, then cut inside the LLM by the attention of the prompt's text.

    Merging leaves K / ``alpha`` tokens, which the layers up to ``layer`` see. Of each group then stay the merged tokens
    whose most attended member is attended to most, by the maximum over heads and text tokens, groups sharing K in
    proportion to what merging left of them.

    Attributes
    ----------
    alpha : share of the merged tokens that stays, above 0
    layer : decoder layer, from 0, whose attention decides; the next one is the first to see K tokens
    n_layers : decoder layers of the LLM
    exact_count : False: merged by the authors' share, and int(alpha) of each group stays, at least one
    """

    alpha: float = 0.4
    layer: int = 10
    n_layers: int = 28

    name: ClassVar[str] = "prunevid-attention"
    requires: ClassVar[frozenset[str]] = frozenset({"llm_attn_textmax", "seq_index"})

    def __post_init__(self) -> None:
        super().__post_init__()
        exact_ratio(self.alpha, "alpha")
        for name, low in (("n_layers", 2), ("layer", 0)):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < low:
                raise InputError(f"{name} is {value!r}; it must be an integer of at least {low}")
        if self.layer >= self.n_layers - 1:
            raise InputError(f"layer is {self.layer}; an LLM of {self.n_layers} layers (n_layers) has none behind it")

    @property
    def prune_layer(self) -> int:  # type: ignore[override]
        """The first layer that sees K tokens."""
        return self.layer + 1

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Merge, then keep what the text attends to most."""
        from stgraph.kernels.cpu.top import top_of_groups

        n = tokens.grid.n_nodes
        attention = sequence_values(tokens, "llm_attn_textmax", self.name)
        n_merged = min(n, ceil(n_keep / exact_ratio(self.alpha, "alpha")))
        merged, report, _ = self.merged(tokens, n_merged if self.exact_count else None)
        most = np.full(n, -np.inf)
        np.maximum.at(most, merged.rows, attention[merged.columns])
        at = np.array(list(merged.group))
        group = np.array(list(merged.group.values()))
        order = np.lexsort((at, group))
        sizes = np.bincount(group)
        counts = (
            shared(sizes, n_keep) if self.exact_count else np.maximum(1, (sizes * float(self.alpha)).astype(np.int64))
        )
        starts = np.append(0, np.cumsum(sizes))
        kept = top_of_groups(most, at[order].astype(np.int32), starts, np.minimum(counts, sizes))
        return chosen(
            merged,
            n,
            kept=kept,
            scores=most,
            n_input=at.size,
            prune_layer=self.prune_layer,
            exactness=approximate("attention of the sequence before merging"),
            report={**report, "n_merged": int(at.size)},
        )
