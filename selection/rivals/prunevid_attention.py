"""PruneVid in full: merging before the LLM, and a cut inside it by the attention of the prompt's text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.selection.algorithms.layer_cuts import count_after_one_cut
from stgraph.selection.budget import Budget, exact_ratio
from stgraph.selection.choice import over_rows
from stgraph.selection.finite import check_features
from stgraph.selection.integers import check_integer
from stgraph.selection.method import Choice, approximate
from stgraph.selection.result import Selection
from stgraph.selection.rivals.prunevid import Merged, PruneVid, chosen, shared
from stgraph.selection.signals.attention import sequence_values
from stgraph.selection.stages import AttentionRead, Stage, Waiting
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class PruneVidAttention(PruneVid):
    """PruneVid in full: merged as in :class:`PruneVid`, then cut inside the LLM by the attention of the prompt's text.

    Merging leaves K / ``alpha`` tokens, which the layers up to ``layer`` see. In each group the most-attended merged
    tokens are then kept, by the maximum over heads and text tokens; groups share K in proportion to their merged
    tokens. Generated tokens do not see the others in any layer (``models/pllava/elastic_cache.py``). With a dump, a
    merged token has the attention of its most-attended member in the sequence before merging.

    Attributes
    ----------
    alpha : share of the merged tokens that is kept, above 0
    layer : decoder layer, from 0, whose attention is used; the next layer is the first to see K tokens
    n_layers : decoder layers of the LLM
    exact_count : False merges by the authors' share, and keeps int(alpha) of each group, at least one token
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
            check_integer(name, getattr(self, name), low)
        if self.layer >= self.n_layers - 1:
            raise InputError(f"layer is {self.layer}; an LLM of {self.n_layers} layers (n_layers) has none after it")

    @property
    def prune_layer(self) -> int:  # type: ignore[override]
        """The first layer that sees K tokens."""
        return self.layer + 1

    def stages(self) -> tuple[Stage, ...]:
        """Merging before the LLM; the cut after ``layer``, by exactly its attention, in all caches."""
        return Stage(), Stage(self.layer + 1, AttentionRead(self.layer, fixed=True, by="text"), caches=True)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Merge, then keep the tokens the text attends to most."""
        attention = sequence_values(tokens, "llm_attn_textmax", self.name)
        merged, report, _ = self._merged(tokens, n_keep)
        most = np.full(tokens.grid.n_nodes, -np.inf)
        np.maximum.at(most, merged.rows, attention[merged.columns])
        choice, _ = self._cut(merged, report, most, n_keep)
        return replace(choice, exactness=approximate("attention of the sequence before merging"))

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Merged tokens wait for the attention of ``layer``."""
        grid = self.budget.lattice(tokens.grid, self.newlines)
        n_keep, rows = self._n_keep(grid, self.budget), grid.rows
        if self.exact_count and n_keep == grid.n_nodes:
            n = tokens.grid.n_tokens
            signals: dict[str, Array] = {"llm_attn_textmax": np.zeros(n, np.float32), "seq_index": np.arange(n)}
            return self.select(VideoTokens(tokens.features, tokens.grid, signals, tokens.metadata))
        check_features(tokens)
        view = self.budget.view(tokens, self.newlines)
        merged, report, fitted = self._merged(view, n_keep)
        whole = chosen(merged, view.grid.n_nodes)

        def resume(attention: Any) -> Selection:
            choice, other = self._cut(merged, report, to_host(attention)[rows].astype(np.float64), n_keep)
            found = replace(choice, exactness=approximate(*fitted, *other))
            return self.finish(found, tokens, view, self.budget)

        over = over_rows(whole.merge, rows, view.grid.n_tokens)
        return Waiting(self.stages()[-1], rows[whole.nodes], resume, over, positions="compact")

    def _n_keep(self, grid: TokenGrid, budget: Budget) -> int:
        """Number of tokens left by the cut."""
        if not self.exact_count:
            return budget.count(grid)
        return count_after_one_cut(grid, budget, self.n_layers, self.prune_layer, partial(self._n_merged, grid.n_nodes))

    def _n_merged(self, n: int, n_keep: int) -> int:
        """Number of ``n`` tokens that merging leaves if the cut leaves ``n_keep``."""
        return min(n, ceil(n_keep / exact_ratio(self.alpha, "alpha")))

    def _merged(self, tokens: VideoTokens, n_keep: int) -> tuple[Merged, dict[str, Any], list[str]]:
        """All tokens after merging, for a cut that leaves ``n_keep``."""
        return self.merged(tokens, self._n_merged(tokens.grid.n_nodes, n_keep) if self.exact_count else None)

    def _cut(self, merged: Merged, report: dict[str, Any], scores: Array, n_keep: int) -> tuple[Choice, list[str]]:
        """The merged tokens with the largest scores ([n] by node) in each group, and departures from the authors."""
        from stgraph.kernels.cpu.top import top_of_groups

        at = np.array(list(merged.group))
        group = np.array(list(merged.group.values()))
        order = np.lexsort((at, group))
        sizes = np.bincount(group)
        theirs = (sizes * float(self.alpha)).astype(np.int64)
        counts = shared(sizes, n_keep) if self.exact_count else np.maximum(1, theirs)
        starts = np.append(0, np.cumsum(sizes))
        kept = top_of_groups(scores, at[order].astype(np.int32), starts, np.minimum(counts, sizes))
        choice = chosen(
            merged,
            scores.size,
            kept=kept,
            scores=scores,
            n_input=at.size,
            prune_layer=self.prune_layer,
            report={**report, "n_merged": int(at.size)},
        )
        other = int(np.count_nonzero(counts != theirs))
        return choice, [f"{other:,} of {sizes.size:,} groups keep another number of tokens"] if other else []
