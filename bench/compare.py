"""The same tokens through every community backend: what each finds, and what a VLM would get to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from time import perf_counter
from typing import Any

import numpy as np

from stgraph.bench.fidelity import cut_tokens, frame_evenness, jaccard, mean_and_p5, nearest_kept
from stgraph.community.agreement import agreement
from stgraph.community.base import available_backends, backend
from stgraph.errors import InputError
from stgraph.graph import TokenGraph, build_graph, check_threshold
from stgraph.selection.analysis import Analysis
from stgraph.selection.budget import Budget
from stgraph.selection.centrality import centrality
from stgraph.selection.result import Selection
from stgraph.selection.st_simdiff import StSimDiff
from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ComparePlan:
    """What to compare.

    Attributes
    ----------
    backends : names; empty for all that run here (with ``tau_sim`` below 0, those that take weights below 0)
    retain_ratios : r values
    seeds : for seeded backends; the others run once
    splits : splitters
    fidelity : whether to compute the O(N^2 d) nearest-kept-token figures
    options : further parameters of the st-simdiff selector (tau_sim, tau_diff, max_size, importance, ...)
    """

    backends: tuple[str, ...] = ()
    retain_ratios: tuple[float, ...] = (0.1, 0.3, 0.5)
    seeds: tuple[int, ...] = (0, 1, 2)
    splits: tuple[str, ...] = ("tree",)
    fidelity: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for axis in ("backends", "retain_ratios", "seeds", "splits"):
            object.__setattr__(self, axis, tuple(dict.fromkeys(getattr(self, axis))))

    def selectors(self) -> list[StSimDiff]:
        """One selector for each backend, splitter and seed, with everything checked.

        Raises
        ------
        UnknownNameError, InputError
            a name or parameter is wrong; raised before any work
        """
        for axis in ("retain_ratios", "seeds", "splits"):
            if not getattr(self, axis):
                raise InputError(f"{axis} is empty; give at least one")
        first = Budget(retain_ratio=self.retain_ratios[0])
        for ratio in self.retain_ratios:
            Budget(retain_ratio=ratio)
        made = []
        negative = check_threshold("tau_sim", self.options.get("tau_sim", 0.8)) < 0
        for name in self.backends or available_backends():
            found = backend(name)
            if negative and found.capabilities.weighted and not self.backends:
                continue
            for split in self.splits:
                if split == "native" and not found.capabilities.native_cap and not self.backends:
                    continue
                for seed in self.seeds if found.capabilities.seeded else self.seeds[:1]:
                    made.append(StSimDiff(budget=first, backend=name, split=split, seed=seed, **self.options))
        return made


@dataclass(frozen=True)
class Comparison:
    """Tidy rows: ``rows`` one for each backend, splitter, seed and ratio; ``overlap`` one for each pair of them."""

    rows: list[Row]
    overlap: list[Row]


@dataclass(frozen=True, eq=False)
class _Run:
    selector: StSimDiff
    analysis: Analysis
    selections: list[Selection]
    masks: list[Array]
    cap_changes: list[float]
    quality: dict[str, Any]

    @property
    def key(self) -> dict[str, Any]:
        seeded = backend(self.selector.backend).capabilities.seeded
        return {
            "backend": self.selector.backend,
            "split": self.selector.split,
            "seed": self.selector.seed if seeded else None,
        }


def compare_backends(
    tokens: VideoTokens,
    plan: ComparePlan,
    *,
    dump: str = "",
    progress: Callable[[str, float], None] | None = None,
    device: str = "cpu",
) -> Comparison:
    """Run the plan on one video.

    Parameters
    ----------
    tokens : VideoTokens
    plan : what to compare
    dump : name of the input, for the rows
    progress : called with a label and the share of the work done, 0 to 1
    device : where graph, communities and centrality are computed, "cpu" or "cuda"; figures are computed on the CPU

    Raises
    ------
    UnavailableError
        no such device here
    UnknownNameError, BackendUnavailableError, InputError
        a name or parameter is wrong, or a backend named in the plan cannot run here
    """
    tell = progress or (lambda label, share: None)
    selectors = plan.selectors()
    selectors[0].check_signals(tokens)
    tell("compiling kernels, loading libraries", 0.0)
    warm_up({s.backend for s in selectors}, tokens.features.dtype, device)
    there = tokens.to(device)
    tell("graph", 0.0)
    start = perf_counter()
    graph = build_graph(there)
    seconds = perf_counter() - start
    runs = []
    for i, one in enumerate(selectors):
        tell(one.backend, i / (len(selectors) + 1))
        runs.append(_run(one, tokens, there, graph, plan.retain_ratios, seconds))
    tell("fidelity", len(selectors) / (len(selectors) + 1))
    nearest = nearest_kept(tokens, graph.to("cpu").norms, [m for r in runs for m in r.masks]) if plan.fidelity else None
    cuts = cut_tokens(tokens)
    rows = []
    for i, run in enumerate(runs):
        for j in range(len(plan.retain_ratios)):
            near = None if nearest is None else nearest[i * len(plan.retain_ratios) + j]
            rows.append({"dump": dump, **_row(run, j, plan.retain_ratios[j], near, cuts)})
    tell("done", 1.0)
    return Comparison(rows, [{"dump": dump, **pair} for pair in _overlap(runs, plan.retain_ratios)])


def warm_up(names: set[str], dtype: np.dtype[Any], device: str = "cpu") -> None:
    """Load the libraries and compile the kernels on a graph of a few tokens, so that timings show neither."""
    x = np.random.default_rng(0).normal(1.0, 0.3, (3, 4, 4, 8)).astype(dtype)
    tokens = VideoTokens.from_array(x).to(device)
    for name in sorted(names):
        StSimDiff(budget=Budget(0.5), backend=name, max_size=3).select(tokens)


def _run(
    one: StSimDiff, tokens: VideoTokens, there: VideoTokens, graph: TokenGraph, ratios: Sequence[float], graph_s: float
) -> _Run:
    """The selections of one setting: analysed ``there``, on the device, the rest in host memory."""
    analysis = replace(one.analyse(there, graph).on_host(), tokens=tokens)
    analysis.seconds["graph"] = graph_s
    selections = [one.select_from(analysis, Budget(retain_ratio=r)) for r in ratios]
    masks = [s.mask.reshape(-1) for s in selections]
    # The same communities without the cap: what the cap alone does to the kept set.
    free = replace(analysis.partition, labels=analysis.partition.uncapped_labels)
    uncapped = replace(analysis, partition=free, centrality=centrality(tokens, analysis.graph, free))
    changes = [
        1 - jaccard(mask, one.select_from(uncapped, Budget(retain_ratio=r)).mask.reshape(-1))
        for r, mask in zip(ratios, masks, strict=True)
    ]
    return _Run(one, analysis, selections, masks, changes, analysis.partition.quality().to_dict())


def _row(run: _Run, j: int, ratio: float, nearest: Array | None, cuts: Array | None) -> Row:
    report, partition = run.selections[j].report, run.analysis.partition
    dropped, reasons = ~run.masks[j], run.selections[j].reasons()
    provenance = partition.provenance
    row: Row = {
        **run.key,
        "retain_ratio": ratio,
        "device": provenance.device,
        "library": f"{provenance.library} {provenance.library_version}",
        "max_size": provenance.max_size,
        "tau_sim": run.analysis.graph.tau_sim,
        "tau_diff": run.selector.tau_diff,
        "importance": report["importance"],
        "n_tokens": report["n_tokens"],
        "n_edges": run.analysis.graph.n_edges,
        **{f"{stage}_s": value for stage, value in report["seconds"].items()},
        **run.quality,
        "mean_centrality": float(run.analysis.centrality.mean(dtype=np.float64)),
        "n_kept": len(run.selections[j]),
        "n_representative": reasons.get("representative", 0),
        "n_event": reasons.get("event", 0),
        "n_both": reasons.get("both", 0),
        "n_candidates": report["n_candidates"],
        "excess": report["excess"],
        "cap_changed_ratio": run.cap_changes[j],
        "frame_evenness": frame_evenness(run.selections[j].mask),
    }
    groups = {"fidelity": dropped, "event_fidelity": dropped & run.analysis.events}
    if cuts is not None:
        groups["cut_fidelity"] = dropped & cuts
    for name, among in groups.items():
        mean, p5 = (None, None) if nearest is None else mean_and_p5(nearest, among)
        row |= {f"{name}_mean": mean, f"{name}_p5": p5}
    return row


def _overlap(runs: Sequence[_Run], ratios: Sequence[float]) -> list[Row]:
    pairs = []
    for a, b in combinations(runs, 2):
        alike = agreement(a.analysis.partition.labels, b.analysis.partition.labels)
        raw = agreement(a.analysis.partition.uncapped_labels, b.analysis.partition.uncapped_labels)
        names = {f"{k}_a": v for k, v in a.key.items()} | {f"{k}_b": v for k, v in b.key.items()}
        for j, ratio in enumerate(ratios):
            pairs.append(
                {
                    **names,
                    "retain_ratio": ratio,
                    "jaccard": jaccard(a.masks[j], b.masks[j]),
                    "nmi": alike.nmi,
                    "ari": alike.ari,
                    "vi": alike.vi,
                    "uncapped_nmi": raw.nmi,
                }
            )
    return pairs
