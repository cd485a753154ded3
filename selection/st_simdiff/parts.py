"""Selections made in parts: the budget of one part, and joining the parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from stgraph.community.partition import Partition
from stgraph.errors import InputError
from stgraph.graph import TokenGraph
from stgraph.grid import TokenGrid
from stgraph.kernels.cpu.components import canonical_labels
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.budget import Budget
from stgraph.selection.result import Selection
from stgraph.selection.st_simdiff.analysis import Analysis
from stgraph.tokens import VideoTokens

_SUMS = ("n_tokens", "n_kept", "n_target", "n_representatives", "n_events", "n_candidates", "excess")


@dataclass(frozen=True)
class Share(Budget):
    """One part's share of a budget: ``n_target`` tokens."""

    n_target: int = 0

    def count(self, grid: TokenGrid, prune_layer: int = 0, n_layers: int = 28) -> int:
        """``n_target``."""
        return self.n_target


def without_context(seen: Analysis, n_frames: int) -> Analysis:
    """An analysis without its first ``n_frames``, which are decided already, but with results that used them."""
    if n_frames == 0:
        return seen
    T, H, W = seen.graph.grid.shape
    skip = n_frames * H * W
    grid = TokenGrid(T - n_frames, H, W)
    whole = seen.graph
    graph = TokenGraph(grid, whole.similarity[:, n_frames:], whole.norms[n_frames:], whole.tau_sim, whole.families)
    signals = {name: values[n_frames:] for name, values in seen.tokens.signals.items()}
    later = partial(_uncapped_without, seen.partition, skip)
    before = later if seen.partition.capped_in_search else later()
    return replace(
        seen,
        tokens=VideoTokens(seen.tokens.features[n_frames:], grid, signals),
        graph=graph,
        partition=Partition(
            graph.edges, canonical_labels(seen.partition.labels[skip:])[0], before, seen.partition.provenance
        ),
        centrality=seen.centrality[skip:],
        difference=seen.difference[skip:],
        events=seen.events[skip:],
    )


def _uncapped_without(partition: Partition, n_first: int) -> Any:
    """[N - n_first] canonical labels before the cap, of the remaining tokens."""
    return canonical_labels(partition.uncapped_labels[n_first:])[0]


def join_selections(parts: Sequence[Selection]) -> Selection:
    """The selections returned by a stream, in order, joined into one of all frames.

    Counts in the report are sums; figures of a single part (thresholds, communities, times) are left out if there are
    several.

    Raises
    ------
    InputError
        there are no parts, or they are not consecutive
    """
    if not parts:
        raise InputError("no selection to join; pass what push() and finish() returned")
    if len(parts) == 1:
        return parts[0]
    n_frames, size = 0, parts[0].grid.H * parts[0].grid.W
    indices: list[np.ndarray[Any, Any]] = []
    for part in parts:
        if part.report.get("first_frame") != n_frames or part.grid.shape[1:] != parts[0].grid.shape[1:]:
            raise InputError(
                f"part {len(indices)} begins at frame {part.report.get('first_frame')} with grid {part.grid}; expected "
                f"frame {n_frames}: pass all parts of one stream, in order"
            )
        indices.append(part.indices + n_frames * size)
        n_frames += part.grid.T
    n_kept = sum(map(len, parts))
    return replace(
        parts[0],
        indices=np.concatenate(indices),
        grid=TokenGrid(n_frames, *parts[0].grid.shape[1:]),
        reason=np.concatenate([part.reason for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        account=TokenAccount(n_frames * size, n_kept, n_kept),
        exactness=parts[-1].exactness,
        report={**{name: sum(part.report[name] for part in parts) for name in _SUMS}, "n_parts": len(parts)},
    )
