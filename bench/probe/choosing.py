"""Selectors on the videos of an exam; what several settings share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stgraph.bench.probe.exam import Exam
from stgraph.bench.probe.plan import Setting
from stgraph.bench.probe.rows import COMMUNITIES
from stgraph.graph import TokenGraph, build_graph
from stgraph.selection.analysis import Analysis
from stgraph.selection.events import event_threshold, event_tokens
from stgraph.selection.result import Selection
from stgraph.selection.rivals.random_tokens import Random
from stgraph.selection.st_simdiff import StSimDiff
from stgraph.tokens import VideoTokens

_VIDEOS_A_SEED = 10_000


@dataclass(frozen=True, eq=False)
class Chosen:
    """What one setting keeps of each video, and (st-simdiff only) the communities it saw."""

    selections: list[Selection]
    analyses: list[Analysis] | None

    def communities(self) -> dict[str, float | None]:
        """Means over the videos; None for selectors without communities."""
        if self.analyses is None:
            return dict.fromkeys(COMMUNITIES)
        figures = [_communities(analysis) for analysis in self.analyses]
        return {name: float(np.mean([figure[name] for figure in figures])) for name in COMMUNITIES}


class Chooser:
    """Settings on one exam; call it with settings of the same communities one after the other."""

    def __init__(self, exam: Exam) -> None:
        self._exam = exam
        self._tokens: dict[str, list[VideoTokens]] = {}
        self._graphs: dict[str, list[TokenGraph]] = {}
        self._analyses: tuple[tuple[Any, ...], list[Analysis]] = ((), [])

    def choose(self, setting: Setting, ratio: float) -> Chosen:
        """What ``setting`` keeps of each video. A random selector draws anew for each."""
        selector = setting.made(ratio)
        tokens = self._tokens_of(setting.features)
        if isinstance(selector, StSimDiff):
            analyses = self._analysed(selector, setting.features)
            return Chosen([selector.select_from(analysis) for analysis in analyses], analyses)
        if isinstance(selector, Random):
            first = selector.seed * _VIDEOS_A_SEED
            return Chosen([replace(selector, seed=first + i).select(x) for i, x in enumerate(tokens)], None)
        return Chosen([selector.select(x) for x in tokens], None)

    def _tokens_of(self, features: str) -> list[VideoTokens]:
        if features not in self._tokens:
            self._tokens[features] = self._exam.tokens(features)
        return self._tokens[features]

    def _analysed(self, selector: StSimDiff, features: str) -> list[Analysis]:
        """Analyses whose communities come from the last call where they are the same."""
        names = "backend split max_size resolution seed tau_sim spatial temporal right bottom".split()
        key = (features, *(getattr(selector, name) for name in names))
        if self._analyses[0] != key:
            tokens = self._tokens_of(features)
            if features not in self._graphs:
                self._graphs[features] = [build_graph(x) for x in tokens]
            pairs = zip(tokens, self._graphs[features], strict=True)
            self._analyses = key, [selector.analyse(x, graph) for x, graph in pairs]
        return [_with_events(analysis, selector) for analysis in self._analyses[1]]


def _with_events(analysis: Analysis, selector: StSimDiff) -> Analysis:
    """The analysis under the selector's own event threshold."""
    if not selector.events:
        return replace(analysis, events=np.zeros(analysis.graph.n_nodes, np.bool_), event_threshold=None)
    tau = selector.tau_diff
    events, threshold = event_tokens(analysis.graph, tau), event_threshold(analysis.graph, tau)
    return replace(analysis, events=events, event_threshold=threshold)


def _communities(analysis: Analysis) -> dict[str, float]:
    partition = analysis.partition
    sizes, before = partition.sizes, partition.uncapped_sizes
    figures = (sizes.size, sizes.max(), before.size, before.max(), partition.oversized_ratio)
    return dict(zip(COMMUNITIES, (*figures, np.count_nonzero(analysis.events)), strict=True))


def exactness_of(selections: Sequence[Selection]) -> str:
    """How far the selections are the published method; what holds for one video is said of all."""
    return next((s.exactness for s in selections if s.exactness != "exact"), "exact")
