"""ST-SimDiff over a grid of parameters: what each threshold changes in what a VLM gets to see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from time import perf_counter
from typing import Any

import numpy as np

import stgraph
from stgraph.bench.fidelity import cut_tokens, frame_evenness, jaccard, mean_and_p5, nearest_kept
from stgraph.bench.sweep_plan import REFERENCE, Configuration, SweepPlan, tau_diff_text
from stgraph.bench.sweep_rows import SweepRows, content_digest
from stgraph.bench.tables.table import Key, Row
from stgraph.bench.warm_up import warm_up
from stgraph.community.base import backend
from stgraph.community.detect import resolve_max_size
from stgraph.errors import MissingSignalError
from stgraph.graph import TokenGraph, build_graph
from stgraph.selection.analysis import Analysis
from stgraph.selection.attention import has_shallow_attention
from stgraph.selection.events import event_threshold, event_tokens, temporal_difference
from stgraph.selection.importance import resolve_importance
from stgraph.selection.result import Selection
from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]
Progress = Callable[[str, float], None]


def run(
    plan: SweepPlan,
    inputs: Sequence[tuple[str, VideoTokens]],
    store: SweepRows | None = None,
    progress: Progress | None = None,
    device: str = "cpu",
) -> list[Row]:
    """Compute the rows of a plan that ``store`` does not hold yet; they are saved even if the run is interrupted.

    Parameters
    ----------
    plan : what to sweep
    inputs : (name, tokens) of every dump
    store : rows of earlier runs, and where new ones go; None for memory
    progress : called with a label and the share of the work done, 0 to 1
    device : where graph, communities and centrality are computed, "cpu" or "cuda"; the points of one analysis are
        selected on the CPU

    Returns
    -------
    list of Row
        the rows of the plan, computed now or before: one for each dump and configuration, see
        :data:`stgraph.bench.tables.experiments.SWEEP`

    Raises
    ------
    MissingSignalError
        importance "attention" without the signal in a dump; raised before any work
    UnavailableError
        no such device here
    """
    store = SweepRows() if store is None else store
    tell = progress or (lambda label, share: None)
    for name, tokens in inputs:
        _check_attention(plan, name, tokens)
    dumps: dict[str, _Dump] = {}
    for name, tokens in inputs:
        tell("reading dumps", 0.0)
        dump = _Dump(name, tokens, plan, device)
        dumps.setdefault(dump.digest, dump)  # the same content under two names is swept once
    points = list(plan.configurations())
    missing = {dump: [p for p in points if not store.holds(dump.key(p), plan.fidelity)] for dump in dumps.values()}
    total, before = sum(map(len, missing.values())), store.n_new

    def tell_share(label: str) -> None:
        tell(label, (store.n_new - before) / total)

    try:
        for dump, left in missing.items():
            if left:
                tell_share("compiling kernels, loading libraries")
                warm_up(map(plan.selector, left), dump.tokens.features.dtype, device, dump.tokens.signals)
            for _, alike in groupby(left, lambda p: p.communities):
                dump.sweep(list(alike), store, tell_share)
            dump.release()
    finally:
        store.save()
    tell("done", 1.0)
    return store.get(dump.key(p) for dump in missing for p in points)


def _check_attention(plan: SweepPlan, name: str, tokens: VideoTokens) -> None:
    if plan.importance == "attention" and not has_shallow_attention(tokens):
        raise MissingSignalError(
            f"{name}: importance 'attention', by which the paper's presets drop candidates, needs the signal "
            "'importance' (or 'llm_attn_last' of layer 1), which the dump does not carry; "
            "pass another, as --importance auto"
        )


class _Dump:
    """One dump, and what all its configurations share."""

    def __init__(self, name: str, tokens: VideoTokens, plan: SweepPlan, device: str) -> None:
        self.name, self.tokens, self.plan, self.device = name, tokens, plan, device
        self.digest = content_digest(tokens)
        self.importance = resolve_importance(plan.importance, tokens)
        self.max_size = resolve_max_size(plan.max_size, tokens.grid.n_nodes)
        self.graph_s = 0.0
        self._events: dict[float | str | None, tuple[Array, Array, float | None, float]] = {}

    def key_columns(self, p: Configuration) -> Row:
        """The values of the key of :data:`stgraph.bench.tables.experiments.SWEEP`."""
        return {
            "digest": self.digest,
            "backend": p.backend,
            "split": p.split,
            "seed": p.seed,
            "preset": p.preset,
            "importance": self.importance,
            "max_size": self.max_size,
            "resolution": None if "resolution" in backend(p.backend).capabilities.ignores else self.plan.resolution,
            "protect_events": self.plan.protect_events,
            "tau_sim": p.tau_sim,
            "tau_diff": None if p.tau_diff is None else tau_diff_text(p.tau_diff),
            "retain_ratio": p.retain_ratio,
        }

    def key(self, p: Configuration) -> Key:
        return tuple(self.key_columns(p).values())

    @cached_property
    def there(self) -> VideoTokens:
        """The tokens on the device."""
        return self.tokens.to(self.device)

    @cached_property
    def graph(self) -> TokenGraph:
        """The token graph in host memory."""
        return self._graph_there.to("cpu")

    @cached_property
    def _graph_there(self) -> TokenGraph:
        start = perf_counter()
        graph = build_graph(self.there)
        self.graph_s = perf_counter() - start
        return graph

    def release(self) -> None:
        """Let go of the graph, the events and what is on the device; the key stays."""
        for name in ("there", "graph", "_graph_there"):
            self.__dict__.pop(name, None)
        self._events.clear()

    def sweep(self, points: Sequence[Configuration], store: SweepRows, tell: Callable[[str], None]) -> None:
        """Points that differ in thresholds, preset and ratio only: communities once for each ``tau_sim``."""
        label = points[0].backend
        tell(label)
        origin = None if points[0].tau_sim is None else REFERENCE[0]
        analysis = {origin: self._analyse(replace(points[0], tau_sim=origin))}
        masks: dict[tuple[str, float], Array] = {}

        def reference(p: Configuration) -> Array:
            if (p.preset, p.retain_ratio) not in masks:
                there = replace(p, tau_sim=origin, tau_diff=None if p.tau_diff is None else REFERENCE[1])
                masks[p.preset, p.retain_ratio] = self._select(analysis[origin], there)[1].mask.reshape(-1)
            return masks[p.preset, p.retain_ratio]

        for tau_sim, group in groupby(points, lambda p: p.tau_sim):
            tell(label if tau_sim is None else f"{label} tau_sim {tau_sim:g}")
            found = analysis[origin] if tau_sim == origin else self._analyse(replace(points[0], tau_sim=tau_sim))
            store.add(self._rows(found, list(group), reference))

    def _analyse(self, p: Configuration) -> Analysis:
        found = self.plan.selector(p).analyse(self.there, self._graph_there)
        analysis = replace(found.on_host(), tokens=self.tokens)
        analysis.seconds["graph"] = self.graph_s
        return analysis

    def _select(self, analysis: Analysis, p: Configuration) -> tuple[Analysis, Selection]:
        """The selection of one point from the communities of another."""
        if p.tau_diff not in self._events:
            start = perf_counter()
            difference = temporal_difference(self.graph)
            if p.tau_diff is None:
                events, threshold = np.zeros(self.graph.n_nodes, np.bool_), None
            else:
                events = event_tokens(self.graph, p.tau_diff)
                threshold = event_threshold(self.graph, p.tau_diff)
            self._events[p.tau_diff] = difference, events, threshold, perf_counter() - start
        difference, events, threshold, seconds = self._events[p.tau_diff]
        under = replace(
            analysis,
            difference=difference,
            events=events,
            event_threshold=threshold,
            seconds={**analysis.seconds, "events": seconds},
        )
        return under, self.plan.selector(p).select_from(under)

    def _rows(
        self, found: Analysis, points: Sequence[Configuration], reference: Callable[[Configuration], Array]
    ) -> Iterable[Row]:
        chosen = [self._select(found, p) for p in points]
        masks = [selection.mask.reshape(-1) for _, selection in chosen]
        quality = found.partition.quality().to_dict()
        centrality = float(found.centrality.mean(dtype=np.float64))
        near = nearest_kept(self.tokens, self.graph.norms, masks) if self.plan.fidelity else None
        for i, (p, (analysis, selection)) in enumerate(zip(points, chosen, strict=True)):
            yield {
                "dump": self.name,
                **self.key_columns(p),
                "stgraph": stgraph.__version__,
                **quality,
                "mean_centrality": centrality,
                **_selection_columns(analysis, selection, masks[i]),
                "reference_overlap": jaccard(masks[i], reference(p)),
                **self._fidelity(None if near is None else near[i], ~masks[i], analysis.events),
            }

    def _fidelity(self, nearest: Array | None, dropped: Array, events: Array) -> Row:
        row: Row = {"has_fidelity": nearest is not None}
        cuts = cut_tokens(self.tokens)
        groups = {"fidelity": dropped, "event_fidelity": dropped & events, "cut_fidelity": None}
        if cuts is not None:
            groups["cut_fidelity"] = dropped & cuts
        for name, among in groups.items():
            mean, p5 = (None, None) if nearest is None or among is None else mean_and_p5(nearest, among)
            row |= {f"{name}_mean": mean, f"{name}_p5": p5}
        return row


def _selection_columns(analysis: Analysis, selection: Selection, mask: Array) -> Row:
    report, reasons, account = selection.report, selection.reasons(), selection.account.to_dict()
    provenance, partition = analysis.partition.provenance, analysis.partition
    n_events = report["n_events"]
    served = np.zeros(partition.n_communities, np.bool_)
    served[partition.labels[mask]] = True
    return {
        "library": f"{provenance.library} {provenance.library_version}",
        "device": provenance.device,
        "n_edges": analysis.graph.n_edges,
        **{name: report[name] for name in ("n_tokens", "n_events", "event_threshold", "n_candidates", "excess")},
        "n_kept": len(selection),
        **{f"n_{name}": reasons.get(name, 0) for name in ("representative", "event", "both")},
        **{name: account[name] for name in ("n_input", "mean_layer_tokens", "mean_layer_ratio")},
        "frame_evenness": frame_evenness(selection.mask),
        "events_kept_ratio": float(np.count_nonzero(mask & analysis.events) / n_events) if n_events else None,
        "communities_kept_ratio": float(np.count_nonzero(served) / served.size),
        **{f"{stage}_s": value for stage, value in report["seconds"].items()},
    }
