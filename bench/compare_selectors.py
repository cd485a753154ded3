"""The same tokens through every selector: what each keeps, what it costs, what it loses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from time import perf_counter
from typing import Any

import numpy as np

from stgraph.bench.fidelity import cut_tokens, frame_evenness, jaccard, mean_and_p5, nearest_kept, nearest_merged
from stgraph.bench.selector_plan import SelectorPlan, Variant, warm_up
from stgraph.errors import InputError, MissingSignalError
from stgraph.graph import TokenGraph, build_graph
from stgraph.selection.events import event_tokens
from stgraph.selection.result import Selection
from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class SelectorComparison:
    """Tidy rows: ``rows`` one a selector and ratio; ``overlap`` one for each pair; ``skipped`` what could not run."""

    rows: list[Row]
    overlap: list[Row]
    skipped: list[Row]


@dataclass(frozen=True, eq=False)
class _Run:
    variant: Variant
    ratio: float
    selection: Selection
    seconds: float


def compare_selectors(
    tokens: VideoTokens,
    plan: SelectorPlan,
    *,
    dump: str = "",
    progress: Callable[[str, float], None] | None = None,
    device: str = "cpu",
) -> SelectorComparison:
    """Run the plan on one video.

    Parameters
    ----------
    tokens : VideoTokens
    plan : what to compare
    dump : name of the input, for the rows
    progress : called with a label and the share of the work done, 0 to 1
    device : where the features lie, "cpu" or "cuda"; a selector that computes on the CPU alone copies them, within its
        time. Figures are computed on the CPU

    Raises
    ------
    UnavailableError
        no such device here
    UnknownNameError, InputError
        a name or parameter is wrong, or a selector named in the plan cannot run on these tokens
    """
    tell = progress or (lambda label, share: None)
    variants = plan.variants()
    tell("compiling kernels", 0.0)
    there = tokens.to(device)
    able, skipped = _able(variants, tokens, plan, dump, device)
    graph = build_graph(tokens)
    skipped = [_skip(dump, {"selector": name}, why, None) for name, why in plan.left_out().items()] + skipped
    runs: list[_Run] = []
    for i, variant in enumerate(able):
        tell(variant.name, i / (len(able) + 1))
        for ratio, budget in zip(plan.retain_ratios, plan.budgets(), strict=True):
            start = perf_counter()
            try:
                selection = variant.selector.select(there, budget).to("cpu")
            except InputError as error:
                if plan.selectors:
                    raise
                skipped.append(_skip(dump, variant.key, str(error), ratio))
                continue
            runs.append(_Run(variant, ratio, selection, perf_counter() - start))
    tell("fidelity", len(able) / (len(able) + 1))
    nearest = _nearest(tokens, graph, runs) if plan.fidelity else [None] * len(runs)
    events, cuts = event_tokens(graph, plan.tau_diff), cut_tokens(tokens)
    rows = [{"dump": dump, **_row(run, near, events, cuts)} for run, near in zip(runs, nearest, strict=True)]
    tell("done", 1.0)
    return SelectorComparison(rows, [{"dump": dump, **pair} for pair in _overlap(runs)], skipped)


def _able(
    variants: list[Variant], tokens: VideoTokens, plan: SelectorPlan, dump: str, device: str
) -> tuple[list[Variant], list[Row]]:
    """The variants whose signals are there, and a row for each of the others; an error if the plan names one."""
    able, skipped = [], []
    for variant in variants:
        missing = sorted(variant.selector.requires - tokens.signals.keys())
        if missing and not _has_equivalent(variant, tokens):
            if plan.selectors:
                raise MissingSignalError(
                    f"selector {variant.name!r} needs {_signals(missing)}, absent from {dump or 'the tokens'}"
                )
            skipped.append(_skip(dump, variant.key, f"needs {_signals(missing)}", None))
        else:
            able.append(variant)
    warm_up({variant.name: variant.selector for variant in able}.values(), tokens.features.dtype, device)
    return able, skipped


def _has_equivalent(variant: Variant, tokens: VideoTokens) -> bool:
    check = getattr(variant.selector, "check_signals", None)
    if check is None:
        return False
    try:
        check(tokens)
    except MissingSignalError:
        return False
    return True


def _signals(names: Sequence[str]) -> str:
    return ("signal " if len(names) == 1 else "signals ") + ", ".join(names)


def _skip(dump: str, key: Row, reason: str, ratio: float | None) -> Row:
    return {"dump": dump, "backend": None, "seed": None, **key, "retain_ratio": ratio, "reason": reason}


def _nearest(tokens: VideoTokens, graph: TokenGraph, runs: Sequence[_Run]) -> list[Array | None]:
    """Cosine of every patch to the nearest token each run keeps; a merged token counts as what it became."""
    out: list[Array | None] = [None] * len(runs)
    plain = [i for i, run in enumerate(runs) if run.selection.features is None and run.selection.nodes.size]
    masks = [runs[i].selection.mask.reshape(-1) for i in plain]
    if masks:
        for i, near in zip(plain, nearest_kept(tokens, graph.norms, masks), strict=True):
            out[i] = near
    for i, run in enumerate(runs):
        if run.selection.features is not None:
            out[i] = nearest_merged(tokens, graph.norms, run.selection.features)
    return out


def _row(run: _Run, nearest: Array | None, events: Array, cuts: Array | None) -> Row:
    kept = run.selection
    mask = kept.mask.reshape(-1)
    groups = {"fidelity": ~mask, "event_fidelity": ~mask & events}
    if cuts is not None:
        groups["cut_fidelity"] = ~mask & cuts
    row: Row = {
        **run.variant.key,
        "retain_ratio": run.ratio,
        "kind": kept.kind,
        "exactness": kept.exactness,
        "positions": kept.positions,
        "n_kept": len(kept),
        **kept.account.to_dict(),
        "measured": kept.provenance.get("measured"),
        "select_s": run.seconds,
        "n_events_kept": int(np.count_nonzero(mask & events)),
        "n_frames_kept": int(np.count_nonzero(kept.mask.any(axis=(1, 2)))),
        "frame_evenness": frame_evenness(kept.mask) if mask.any() else None,
    }
    for name, among in groups.items():
        mean, p5 = (None, None) if nearest is None else mean_and_p5(nearest, among)
        row |= {f"{name}_mean": mean, f"{name}_p5": p5}
    return row


def _overlap(runs: Sequence[_Run]) -> list[Row]:
    pairs = []
    for ratio in dict.fromkeys(run.ratio for run in runs):
        for a, b in combinations([run for run in runs if run.ratio == ratio], 2):
            names = {f"{k}_a": v for k, v in a.variant.key.items()} | {f"{k}_b": v for k, v in b.variant.key.items()}
            shared = jaccard(a.selection.mask.reshape(-1), b.selection.mask.reshape(-1))
            pairs.append({**names, "retain_ratio": ratio, "jaccard": shared})
    return pairs
