"""ST-SimDiff's published code, which differs from the paper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from stgraph.devices import beside
from stgraph.graph import build_graph, check_threshold
from stgraph.selection.budget import Budget
from stgraph.selection.finite import check_features
from stgraph.selection.integers import check_integer
from stgraph.selection.method import Choice, check_share, keep_everything
from stgraph.selection.reasons import EVENT, REPRESENTATIVE
from stgraph.selection.result import Selection
from stgraph.selection.signals.attention import SHALLOW_LAYER
from stgraph.selection.st_simdiff.events import temporal_difference
from stgraph.selection.st_simdiff.importance import (
    NEUTRAL,
    by_attention,
    check_importance,
    importance_values,
    reduction_exactness,
    resolve_importance,
)
from stgraph.selection.st_simdiff.ranked import RankedMethod
from stgraph.selection.st_simdiff.released_merge import ReleasedMerge, final_count, released_merge
from stgraph.selection.stages import AttentionRead, Stage, Waiting
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class StSimDiffReleased(RankedMethod):
    """The authors' code (``simdiff/new_topk.py``, strategy 3): communities drop their least central tokens, and the
    survivors are cut by the LLM's attention in layer 1, so that the mean over the layers is r.

    The number of kept tokens depends on the features: between ((L r - 1) / (L - 1)) N and r N, for L layers.

    Attributes
    ----------
    budget : r of the authors' formula
    tau_sim : similarity threshold of the communities, at least 0; temporal edges may equal it
    tau_diff : similarity to the frame before below which a token is an event, which is never dropped by a community
    spatial, temporal, right, bottom : edge families of the communities
    importance : ranking of the survivors; as in ``st-simdiff``
    reduce : False returns the survivors
    n_layers : decoder layers of the LLM

    Raises
    ------
    InputError
        a parameter is out of range, or (when selecting) the ratio is too small to be met
    """

    tau_sim: float = 0.8
    tau_diff: float = 0.2
    spatial: bool = True
    temporal: bool = True
    right: bool = True
    bottom: bool = True
    importance: Any = "auto"
    reduce: bool = True
    n_layers: int = 28

    name: ClassVar[str] = "st-simdiff-released"
    paper: ClassVar[str] = "ST-SimDiff, ICLR 2026 (published code)"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True
    newlines: ClassVar[str] = "in"
    fits_budget = False

    def __post_init__(self) -> None:
        check_share("tau_sim", self.tau_sim)
        check_threshold("tau_diff", self.tau_diff)
        check_importance(self.importance)
        check_integer("n_layers", self.n_layers, 2)

    def stages(self) -> tuple[Stage, ...]:
        """Communities drop tokens before the LLM; the survivors are cut after layer 1, by its attention."""
        if not self.reduce:
            return (Stage(),)
        read = AttentionRead(SHALLOW_LAYER) if by_attention(self.importance) else None
        return Stage(), Stage(SHALLOW_LAYER + 1, read)

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """The survivors wait for their cut; selecting twice costs less than keeping half a selection."""
        last = self.stages()[-1]
        neutral = replace(self, importance=NEUTRAL) if last.attention is not None else self
        if not self.reduce or self.keeps_all(tokens.grid):
            return neutral.select(tokens)
        view = self.budget.view(tokens, self.newlines)
        survivors = replace(neutral, reduce=False).select(tokens)

        def resume(attention: Any) -> Selection:
            importance = self.importance if attention is None else attention[beside(view.grid.rows, attention)]
            return replace(self, importance=importance).select(tokens)

        return Waiting(last, survivors.indices, resume)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The survivors, cut to the authors' count; everything at r = 1."""
        from stgraph.kernels.cpu.top import top_of

        exact_ratio = budget.ratio(tokens.grid)
        if exact_ratio == 1:
            check_features(tokens)
            return keep_everything(tokens)
        ratio, n = float(exact_ratio), tokens.grid.n_nodes
        switches = {"spatial": self.spatial, "temporal": self.temporal, "right": self.right, "bottom": self.bottom}
        graph = build_graph(tokens, self.tau_sim, **switches).to("cpu")
        merged = released_merge(tokens, graph, self.tau_diff, ratio, self.n_layers)
        survivors = np.flatnonzero(~merged.dropped)
        importance = importance_values(
            self.importance, tokens, graph.norms, merged.centrality, temporal_difference(graph), merged.events
        )
        nodes = survivors
        if self.reduce:
            nodes = np.flatnonzero(top_of(importance, survivors, final_count(n, merged, ratio, self.n_layers)))
        importance_name = resolve_importance(self.importance, tokens)
        representative = ~merged.exempted[nodes]
        return Choice(
            nodes=nodes,
            reason=REPRESENTATIVE * representative + EVENT * merged.events[nodes],
            scores=importance[nodes],
            exactness=reduction_exactness(importance_name, "survivors", "survivors cut")
            if nodes.size < survivors.size
            else "exact",
            n_input=survivors.size,
            prune_layer=1 if self.reduce else 0,
            report=_report(merged, survivors.size, importance_name),
        )


def _report(merged: ReleasedMerge, n_survivors: int, importance: str) -> dict[str, Any]:
    return {
        "n_survivors": n_survivors,
        "n_dropped": int(np.count_nonzero(merged.dropped)),
        "dropped_share": float(np.count_nonzero(merged.dropped) / merged.dropped.size),
        "wanted_share": merged.share,
        "n_communities": merged.n_communities,
        "n_visited": merged.n_visited,
        "n_events": int(np.count_nonzero(merged.events)),
        "n_exempted": int(np.count_nonzero(merged.exempted)),
        "importance": importance,
    }
