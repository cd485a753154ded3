"""Sweeps of ST-SimDiff over a grid of parameters: how each threshold changes the kept tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import groupby

import numpy as np

import stgraph
from stgraph.aliases import Array, Progress
from stgraph.bench.fidelity import cut_tokens, jaccard
from stgraph.bench.measures import candidate_columns, community_columns, fidelity_columns, nearest_handed_on
from stgraph.bench.sweep_plan import Point, SweepPlan, tau_diff_text
from stgraph.bench.sweep_rows import SweepRows, content_digest
from stgraph.bench.tables.experiments import SWEEP
from stgraph.bench.tables.table import Key, Row
from stgraph.bench.warm_up import warm_up
from stgraph.community.arguments import backend_params, resolve_max_size
from stgraph.community.base import backend
from stgraph.errors import MissingSignalError
from stgraph.selection.budget import Budget
from stgraph.selection.keeping import Keeping, Kept
from stgraph.selection.signals.attention import has_shallow_attention
from stgraph.selection.st_simdiff.analysis import Analysis
from stgraph.selection.st_simdiff.importance import resolve_importance
from stgraph.tokens import VideoTokens


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
    plan : the plan of the sweep
    inputs : (name, tokens) of every dump
    store : rows of earlier runs, and where new ones go; None for memory
    progress : called with a label and the share of the work done, 0 to 1
    device : where graph, communities and centrality are computed, "cpu" or "cuda"; the points of one analysis are
        selected on the CPU

    Returns
    -------
    list of Row
        the rows of the plan, computed now or earlier: one per dump and point, see
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
    points = list(plan.points())
    missing = {dump: [p for p in points if not store.holds(dump.key(p), plan.fidelity)] for dump in dumps.values()}
    total, before = sum(map(len, missing.values())), store.n_new

    def tell_share(label: str) -> None:
        tell(label, (store.n_new - before) / total)

    try:
        for dump, left in missing.items():
            if left:
                tell_share("compiling kernels, loading libraries")
                one_each = {(p.family, p.preset): p.setting for p in left}.values()
                selectors = (setting.build(Budget(0.5)) for setting in one_each)
                warm_up(selectors, dump.tokens.features.dtype, device, dump.tokens.signals)
            for _, alike in groupby(left, lambda p: p.family):
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
    """One dump, with work shared by all its points."""

    def __init__(self, name: str, tokens: VideoTokens, plan: SweepPlan, device: str) -> None:
        self.name, self.tokens, self.plan, self.device = name, tokens, plan, device
        self.digest = content_digest(tokens)
        self.importance = resolve_importance(plan.importance, tokens)

    def key_columns(self, p: Point) -> Row:
        """The values of the key of :data:`stgraph.bench.tables.experiments.SWEEP`."""
        values = {name: p.setting.get(name) for name in SWEEP.key}
        engine = backend(values["backend"])
        has_resolution = "resolution" not in engine.capabilities.ignores
        return {
            **values,
            "digest": self.digest,
            "seed": p.setting.seed,
            "preset": p.preset,
            "importance": self.importance,
            "max_size": resolve_max_size(values["max_size"], self.tokens.grid.n_nodes),
            "resolution": backend_params(engine, values["resolution"]).resolution if has_resolution else None,
            "tau_sim": p.tau_sim,
            "tau_diff": None if p.tau_diff is None else tau_diff_text(p.tau_diff),
            "retain_ratio": p.retain_ratio,
        }

    def key(self, p: Point) -> Key:
        return tuple(self.key_columns(p).values())

    @cached_property
    def keeping(self) -> Keeping:
        """The dump under each setting in turn."""
        return Keeping(self.tokens, device=self.device)

    def release(self) -> None:
        """Free the graph, the communities and device memory; the key stays."""
        self.__dict__.pop("keeping", None)

    def sweep(self, points: Sequence[Point], store: SweepRows, tell: Callable[[str], None]) -> None:
        """Compute points that differ only in thresholds, preset and ratio."""
        label = points[0].setting.get("backend")
        references: dict[tuple[str, float], Array] = {}
        for tau_sim, group in groupby(points, lambda p: p.tau_sim):
            tell(label if tau_sim is None else f"{label} tau_sim {tau_sim:g}")
            self.keeping.analysis(points[0].reference)  # used again and again: it stays among those remembered
            store.add(self._rows(list(group), references))

    def _rows(self, points: Sequence[Point], references: dict[tuple[str, float], Array]) -> Iterable[Row]:
        """The rows of points with the same communities."""
        chosen = [self.keeping.at(p.setting, p.retain_ratio) for p in points]
        for p in points:
            if (p.preset, p.retain_ratio) not in references:
                references[p.preset, p.retain_ratio] = self.keeping.at(p.reference, p.retain_ratio).mask
        near: Sequence[Array | None] = [None] * len(chosen)
        if self.plan.fidelity:
            near = nearest_handed_on(self.tokens, self.keeping.graph.norms, chosen)
        cuts = cut_tokens(self.tokens)
        assert chosen[0].analysis is not None
        communities = community_columns(chosen[0].analysis)
        for p, kept, nearest in zip(points, chosen, near, strict=True):
            assert kept.analysis is not None
            yield {
                "dump": self.name,
                **self.key_columns(p),
                "stgraph": stgraph.__version__,
                **communities,
                **candidate_columns(kept),
                **_shares(kept, kept.analysis),
                "reference_overlap": jaccard(kept.mask, references[p.preset, p.retain_ratio]),
                "has_fidelity": nearest is not None,
                **fidelity_columns(nearest, kept.mask, kept.analysis.events, cuts),
            }


def _shares(kept: Kept, analysis: Analysis) -> Row:
    """Shares of events and communities kept, and the LLM's cost of the kept tokens."""
    report, account = kept.selection.report, kept.selection.account.to_dict()
    n_events = report["n_events"]
    served = np.zeros(analysis.partition.n_communities, np.bool_)
    served[analysis.partition.labels[kept.mask]] = True
    return {
        **{name: report[name] for name in ("n_events", "event_threshold")},
        **{name: account[name] for name in ("n_input", "mean_layer_tokens", "mean_layer_ratio")},
        "events_kept_ratio": float(np.count_nonzero(kept.mask & analysis.events) / n_events) if n_events else None,
        "communities_kept_ratio": float(np.count_nonzero(served) / served.size),
    }
