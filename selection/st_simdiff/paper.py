"""ST-SimDiff as in the paper: representatives and events, reduced to the budget (section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from time import perf_counter
from typing import Any, ClassVar, TypeVar

import numpy as np

from stgraph.community.arguments import check_detection
from stgraph.community.default_backend import DEFAULT_BACKEND
from stgraph.community.detect import detect_communities
from stgraph.devices import beside, full, numbers
from stgraph.graph import TokenGraph, build_graph, check_threshold
from stgraph.kernels import kernels_for
from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice
from stgraph.selection.result import Selection
from stgraph.selection.signals.attention import SHALLOW_LAYER
from stgraph.selection.st_simdiff.analysis import Analysis, Reduced
from stgraph.selection.st_simdiff.centrality import centrality
from stgraph.selection.st_simdiff.events import changes, find_events, parse_tau_diff, temporal_difference
from stgraph.selection.st_simdiff.importance import (
    NEUTRAL,
    by_attention,
    check_importance,
    importance_values,
    reduction_exactness,
    resolve_importance,
)
from stgraph.selection.st_simdiff.ranked import RankedMethod
from stgraph.selection.st_simdiff.reduction import reduce_candidates
from stgraph.selection.st_simdiff.representatives import representative_tokens
from stgraph.selection.stages import AttentionRead, Stage, Waiting
from stgraph.tokens import VideoTokens

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class StSimDiff(RankedMethod):
    """The paper's selector.

    Attributes
    ----------
    budget : how many tokens to keep
    tau_sim : similarity threshold of the community graph
    tau_diff : event threshold: a similarity, or "p95" for a percentile of the video's differences
    backend : community backend; the default is the paper's connected components
    max_size : largest community: "sqrt", an integer, or None
    split : how larger communities are divided
    resolution, seed : of the backend; resolution None for the default of its objective
    backend_options : other parameters of the backend, such as {"n_iterations": 5}
    importance : ranking of surplus candidates: "auto" (attention if the tokens carry it, else
        "difference-then-centrality"), "attention", "coverage", "centrality", "difference", "norm", or an array
    protect_events : True drops event tokens last
    events : False omits DETS
    spatial, temporal, right, bottom : edge families of the community graph
    reduce : False returns all candidates, before the reduction to the budget

    Raises
    ------
    InputError
        a parameter is out of range
    """

    tau_sim: float = 0.8
    tau_diff: float | str = 0.2
    backend: str = DEFAULT_BACKEND
    max_size: int | str | None = "sqrt"
    split: str = "tree"
    resolution: float | None = None
    seed: int = 0
    importance: Any = "auto"
    protect_events: bool = False
    events: bool = True
    spatial: bool = True
    temporal: bool = True
    right: bool = True
    bottom: bool = True
    reduce: bool = True
    backend_options: Mapping[str, int | float] = field(default_factory=dict)

    name: ClassVar[str] = "st-simdiff"
    paper: ClassVar[str] = "ST-SimDiff, ICLR 2026"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True
    chooses_all = True

    def __post_init__(self) -> None:
        check_threshold("tau_sim", self.tau_sim)
        parse_tau_diff(self.tau_diff)
        check_importance(self.importance)
        check_detection(self.backend, self.max_size, self.split, self.resolution, self.seed, self.backend_options)

    @property
    def fits_budget(self) -> bool:  # type: ignore[override]
        """Whether exactly n_keep tokens are returned."""
        return self.reduce

    def stages(self) -> tuple[Stage, ...]:
        """Before the LLM, by shallow attention if that ranks the candidates."""
        reads = self.reduce and by_attention(self.importance)
        return (Stage(attention=AttentionRead(SHALLOW_LAYER) if reads else None),)

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Graph, communities and events are computed once; surplus candidates wait for their attention."""
        (stage,) = self.stages()
        if stage.attention is None:
            return self.select(tokens)
        budget, view = self.budget, self.budget.view(tokens, self.newlines)
        analysis = self.analyse(view)
        candidates = self._with(importance=NEUTRAL, reduce=False).select_from(analysis, budget, tokens)
        if not candidates.report["excess"]:
            return self._with(importance=NEUTRAL).select_from(analysis, budget, tokens)

        def resume(attention: Any) -> Selection:
            importance = attention[beside(view.grid.rows, attention)]
            return self._with(importance=importance).select_from(analysis, budget, tokens)

        return Waiting(stage, candidates.indices, resume)

    def _with(self, **changes: Any) -> StSimDiff:
        """The same configuration with changes, including values a named preset fixes."""
        return StSimDiff(**{f.name: getattr(self, f.name) for f in fields(StSimDiff)} | changes)

    def analyse(self, tokens: VideoTokens, graph: TokenGraph | None = None, found: Any = None) -> Analysis:
        """Everything that does not depend on the budget; pass an existing ``graph``, and existing labels of the backend
        as ``found`` (:func:`stgraph.detect_communities`), to save their computation."""
        seconds: dict[str, float] = {}

        def timed(stage: str, work: Callable[[], Result]) -> Result:
            start = perf_counter()
            result = work()
            seconds[stage] = perf_counter() - start
            return result

        switches = {"spatial": self.spatial, "temporal": self.temporal, "right": self.right, "bottom": self.bottom}
        if graph is None:
            built = timed("graph", lambda: build_graph(tokens, self.tau_sim, **switches))
        else:
            built = graph.with_threshold(self.tau_sim, **switches)
        partition = timed(
            "detection",
            lambda: detect_communities(
                built,
                self.backend,
                max_size=self.max_size,
                split=self.split,
                resolution=self.resolution,
                seed=self.seed,
                found=found,
                tokens=tokens,
                **self.backend_options,
            ),
        )
        central = timed("centrality", lambda: centrality(tokens, built, partition))

        def found_changes() -> tuple[Any, Any, Any]:
            if self.events:
                return changes(built, self.tau_diff)
            return temporal_difference(built), full(built.n_nodes, False, "bool", like=central), None

        difference, events, threshold = timed("events", found_changes)
        return Analysis(tokens, built, partition, central, difference, events, threshold, seconds)

    @property
    def communities_key(self) -> tuple[Any, ...]:
        """The key of graph, communities and centrality: selectors with equal keys differ only in later steps."""
        after = ("budget", "tau_diff", "events", "importance", "protect_events", "reduce")
        before = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in after}
        before["backend_options"] = tuple(sorted(self.backend_options.items()))
        return type(self).analyse, *before.values()

    def with_events(self, analysis: Analysis) -> Analysis:
        """An analysis of the same communities, in host memory, with this selector's event threshold."""
        start = perf_counter()
        graph = analysis.graph
        events, threshold = np.zeros(graph.n_nodes, np.bool_), None
        if self.events:
            events, threshold = find_events(graph, self.tau_diff)
        seconds = {**analysis.seconds, "events": perf_counter() - start}
        at = None if threshold is None else float(threshold)
        return replace(analysis, events=events, event_threshold=at, seconds=seconds)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """N_target tokens (all candidates with ``reduce=False``)."""
        return self._choice_from(self.analyse(tokens), budget)

    def select_from(
        self, analysis: Analysis, budget: Budget | None = None, source: VideoTokens | None = None
    ) -> Selection:
        """The selection from an analysis, under this or another budget.

        ``source``: the tokens of which the analysed ones are a view, if newlines count.
        """
        budget, view = budget or self.budget, analysis.tokens
        return self.finish(self._choice_from(analysis, budget), source or view, view, budget)

    def _choice_from(self, analysis: Analysis, budget: Budget) -> Choice:
        start = perf_counter()
        reduced = self.reduce_to(analysis, budget)
        figures = numbers(*reduced.figures)
        seconds = {**analysis.seconds, "reduction": perf_counter() - start}
        return self.choice_of(analysis, reduced, figures, budget, seconds)

    def reduce_to(self, analysis: Analysis, budget: Budget) -> Reduced:
        """Candidates and kept tokens of an analysis. Nothing is read back from a GPU."""
        graph, partition, events = analysis.graph, analysis.partition, analysis.events
        chosen = representative_tokens(analysis.centrality, partition, budget.ratio(graph.grid))
        found = (graph.norms, analysis.centrality, analysis.difference, events, partition)
        importance = importance_values(self.importance, analysis.tokens, *found)
        candidates = chosen | events
        n_target = budget.count(graph.grid)
        kept = candidates
        if self.reduce:
            kept = reduce_candidates(candidates, events, importance, n_target, self.protect_events)
        kernel = kernels_for(kept, "kept")
        most = n_target if self.reduce else graph.n_nodes
        nodes, reason, scores = kernel.kept_tokens(kept, chosen, events, importance, most)
        before = None if partition.capped_in_search else partition.sizes_before_cap
        masks, starts = (chosen, events, candidates, kept), partition.slots[1]
        return Reduced(
            nodes=nodes,
            reason=reason,
            scores=scores,
            figures=(
                *kernel.tally(masks, partition.labels, starts, before, partition.usual_cap),
                0.0 if analysis.event_threshold is None else analysis.event_threshold,
            ),
        )

    def choice_of(
        self, analysis: Analysis, reduced: Reduced, figures: list[float], budget: Budget, seconds: dict[str, float]
    ) -> Choice:
        """The choice, once the figures of the report have been read."""
        tokens, graph = analysis.tokens, analysis.graph
        n_chosen, n_events, n_candidates, n_kept, last, largest, n_oversized = map(int, figures[:7])
        n_target = budget.count(graph.grid)
        importance_name = resolve_importance(self.importance, tokens)
        report = {
            "n_target": n_target,
            "n_representatives": n_chosen,
            "n_events": n_events,
            "n_candidates": n_candidates,
            "excess": max(0, n_candidates - n_target),
            "n_communities": last + 1,
            "largest_community": largest,
            # Without a partition before the cap there is no such share, and a selection does not wait for a second one.
            "oversized_ratio": None if analysis.partition.capped_in_search else n_oversized / graph.n_nodes,
            "event_threshold": None if analysis.event_threshold is None else figures[7],
            "importance": importance_name,
        }
        return Choice(
            nodes=reduced.nodes[:n_kept],
            reason=reduced.reason[:n_kept],
            scores=reduced.scores[:n_kept],
            exactness=reduction_exactness(importance_name, "candidates", "surplus candidates dropped")
            if self.reduce and n_candidates > n_target
            else "exact",
            report=report,
            provenance={
                "tau_sim": graph.tau_sim,
                "tau_diff": self.tau_diff if isinstance(self.tau_diff, str) else float(self.tau_diff),
                "families": list(graph.families),
                "events": self.events,
                "importance": self.importance if isinstance(self.importance, str) else "given",
                "protect_events": self.protect_events,
                "reduce": self.reduce,
                "community": analysis.partition.provenance.to_dict(),
            },
            seconds=seconds,
        )
