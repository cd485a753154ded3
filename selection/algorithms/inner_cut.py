"""A cut inside the language model after a selector's merging before it (FlashVID, HoliTom)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.grid import TokenGrid
from stgraph.selection.algorithms.attention_cut import AttentionCut
from stgraph.selection.algorithms.layer_cuts import count_after_one_cut
from stgraph.selection.budget import Budget, exact_ratio
from stgraph.selection.choice import Choice, keep_everything, over_rows
from stgraph.selection.finite import check_features
from stgraph.selection.integers import check_layer
from stgraph.selection.method import FittedMethod, approximate
from stgraph.selection.reasons import ATTENTION
from stgraph.selection.result import Selection
from stgraph.selection.stages import Merged, Stage, Waiting, with_attention
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class InnerCut(AttentionCut, FittedMethod):
    """Base of selectors that first merge (as their next base class does), then cut before a decoder layer by the
    attention of the last prompt token in the layer before, averaged over heads. Scores are that attention.

    Attributes
    ----------
    layer : first decoder layer, from 0, that sees only the kept tokens; at least 1
    share : share of the merged tokens that is kept, above 0
    n_layers : decoder layers of the LLM
    exact_count : True: merging leaves K / ``share`` tokens, at most N, and the cut leaves K; False: both follow the
        authors' rule

    Raises
    ------
    InputError
        the LLM lacks the layer, or the share is out of range
    """

    layer: int
    share: float
    n_layers: int = 28

    departure: ClassVar[str | None] = None  # from the authors, if there is no running model

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[misc]
        exact_ratio(self.share, "share")
        check_layer(self.layer, self.n_layers)

    def stages(self) -> tuple[Stage, ...]:
        """Merging before the LLM; the cut before ``layer``."""
        return Stage(), self.inner_stage()

    def _n_merged(self, n: int, n_keep: int) -> int:
        """Number of ``n`` tokens that merging leaves if the cut leaves ``n_keep``."""
        return min(n, max(n_keep, int(n_keep / exact_ratio(self.share))))

    def _n_keep(self, grid: TokenGrid, budget: Budget) -> int:
        """Number of tokens left by the cut."""
        return count_after_one_cut(grid, budget, self.n_layers, self.layer, partial(self._n_merged, grid.n_nodes))

    @abstractmethod
    def their_count(self, n: int) -> int:
        """Number of ``n`` merged tokens kept by the authors' rule, at least one."""

    def joined(self, states: Any, kept: Array) -> Any:
        """[k', k] csr_array that merges dropped hidden states [k, d] into the ``kept`` ([k] bool); None to discard."""
        return None

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Merge, then keep the most-attended tokens at their positions."""
        outer = self._outer(tokens, n_keep, budget)
        attention = self.attention_of(tokens)
        choice, _ = self._cut(outer, attention[outer.nodes], n_keep, None)
        before = [] if outer.exactness == "exact" else [outer.exactness.removeprefix("approximate: ")]
        reasons = ["attention of the sequence before merging"] if outer.merge is not None else []
        reasons += [] if self.departure is None else [self.departure]
        return replace(choice, exactness=approximate(*before, *reasons))

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Merged tokens wait for the attention of the layer before ``layer``."""
        if self.exact_count and self.keeps_all(tokens.grid):
            return self.select(with_attention(tokens, np.zeros(tokens.grid.n_tokens), self.layer - 1))
        view = self.budget.view(tokens, self.newlines)
        rows, n_keep = view.grid.rows, self._n_keep(view.grid, self.budget)
        outer = self._outer(view, n_keep, self.budget)

        def resume(attention: Any, states: Any = None) -> Selection | Merged:
            found = to_host(attention)[rows[outer.nodes]].astype(np.float64)
            choice, weights = self._cut(outer, found, n_keep, states)
            selection = self.finish(choice, tokens, view, self.budget)
            return selection if weights is None else Merged(selection, weights)

        over = None if outer.merge is None else over_rows(outer.merge, rows, view.grid.n_tokens)
        return Waiting(self.stages()[-1], rows[outer.nodes], resume, over, outer.positions)

    def _outer(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The tokens left by merging before the LLM."""
        n_merged = self._n_merged(tokens.grid.n_nodes, n_keep)
        if not self.exact_count:
            return super().choose(tokens, n_keep, budget)  # type: ignore[safe-super]
        if n_merged == tokens.grid.n_nodes:
            check_features(tokens)
            whole = keep_everything(tokens)
            return replace(whole, nodes=to_host(whole.nodes), scores=to_host(whole.scores))
        return super().choose(tokens, n_merged, Budget(n_keep=n_merged, newlines=budget.newlines))  # type: ignore[safe-super]

    def _cut(self, outer: Choice, attention: Array, n_keep: int, states: Any) -> tuple[Choice, Any]:
        """Choice among merged tokens by their attention ([k]), and the weights that merge the dropped ones."""
        from scipy.sparse import csr_array, eye_array

        from stgraph.kernels.cpu.top import top_of

        n = len(outer.nodes)
        count = min(n, n_keep if self.exact_count else self.their_count(n))
        kept = top_of(attention, np.arange(n), count)
        weights = None if states is None or count == n else self.joined(states, kept)
        merge = outer.merge
        if weights is not None:
            merge = csr_array(weights @ (eye_array(n, format="csr") if merge is None else merge))
        elif merge is not None:
            merge = merge[np.flatnonzero(kept)]
        choice = replace(
            outer,
            nodes=outer.nodes[kept],
            reason=ATTENTION,
            scores=attention[kept],
            merge=merge,
            n_input=n,
            prune_layer=self.layer,
            report={**outer.report, "n_merged_before": n, "attention_layer": self.layer - 1},
        )
        return choice, weights
