"""Analysis of a video by ST-SimDiff, independent of the retain ratio."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from stgraph.community.partition import Partition
from stgraph.devices import to_host
from stgraph.graph import TokenGraph
from stgraph.spelling import Spelled
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, eq=False)
class Analysis(Spelled):
    """Inputs of a selection that do not depend on the retain ratio: graph, communities, centrality, differences,
    events.

    ``event_threshold`` is the similarity below which a temporal edge marks an event, None without DETS or with one
    frame. ``seconds`` holds the time of each stage; on a GPU that is the time to issue its work, and pending work
    counts towards the stage that waits for it, at the latest "reduction".
    """

    tokens: VideoTokens
    graph: TokenGraph
    partition: Partition
    centrality: Any
    difference: Any
    events: Any
    event_threshold: Any
    seconds: dict[str, float]

    def on_host(self) -> Analysis:
        """The same analysis with graph, partition and arrays in host memory; the features stay where they are."""
        arrays: dict[str, Any] = {name: to_host(getattr(self, name)) for name in ("centrality", "difference", "events")}
        threshold = None if self.event_threshold is None else float(self.event_threshold)
        graph, partition = self.graph.to("cpu"), self.partition.to("cpu")
        return replace(self, graph=graph, partition=partition, event_threshold=threshold, **arrays)


@dataclass(frozen=True, eq=False)
class Reduced:
    """The reduced candidates: [n] nodes with a reason and a score each, of which the first ``n_kept`` are kept, and the
    report's figures, as scalars on the device."""

    nodes: Any
    reason: Any
    scores: Any
    figures: tuple[Any, ...]
