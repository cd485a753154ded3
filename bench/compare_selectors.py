"""Comparison of selectors on the same tokens: kept tokens, cost and loss of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from stgraph.aliases import Array, Progress
from stgraph.bench.compare import RATIOS, Comparison, check_keys
from stgraph.bench.fidelity import cut_tokens, frame_evenness, jaccard
from stgraph.bench.measures import fidelity_columns, nearest_handed_on, pair_columns
from stgraph.bench.tables.experiments import COMPARED_SELECTORS
from stgraph.bench.tables.table import Row
from stgraph.bench.warm_up import warm_up
from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.base import SELECTORS
from stgraph.selection.budget import Budget
from stgraph.selection.keeping import Keeping, Kept
from stgraph.selection.prefill_flops import DEFAULT_LLM, account_flops, shape_named
from stgraph.selection.settings import Setting, check_settings, selector_settings
from stgraph.selection.st_simdiff.events import event_tokens
from stgraph.tokens import VideoTokens


def compare_selectors(
    tokens: VideoTokens,
    settings: Sequence[Setting] | None = None,
    ratios: Sequence[float] = RATIOS,
    *,
    measured: str = "kept",
    newlines: str | None = None,
    llm: str = DEFAULT_LLM,
    fidelity: bool = True,
    tau_diff: float | str = 0.2,
    skip: bool | None = None,
    dump: str = "",
    progress: Progress | None = None,
    device: str = "cpu",
) -> Comparison:
    """Compare settings at each ratio.

    Parameters
    ----------
    tokens : VideoTokens
    settings : see :func:`stgraph.selection.settings.selector_settings`; None for every selector
    ratios : r values
    measured, newlines : for every :class:`stgraph.Budget`
    llm : the LLM whose FLOPs are counted, see :func:`stgraph.selection.prefill_flops.shape_named`
    fidelity : whether to compute the O(N K d) nearest-kept-token figures
    tau_diff : event threshold of the figures, regardless of the selectors' own
    skip : whether settings that cannot run on these tokens are listed rather than raised; None to do so if no setting
        is named
    dump : name of the input, for the rows
    progress : called with a label and the share of the work done, 0 to 1
    device : where the features lie, "cpu" or "cuda"; a CPU-only selector copies them, as part of its time. Figures are
        computed on the CPU

    Raises
    ------
    UnavailableError
        no such device here
    UnknownNameError, InputError, MissingSignalError
        a name or parameter is wrong, or (without ``skip``) a setting cannot run on these tokens
    """
    tell = progress or (lambda label, share: None)
    chosen = selector_settings() if settings is None else list(settings)
    skipping = settings is None if skip is None else skip
    at = tuple(dict.fromkeys(ratios))
    check_settings(chosen, at, measured, newlines)
    check_keys(chosen, _key)
    shape = shape_named(llm)
    tell("compiling kernels, loading libraries", 0.0)
    keeping = Keeping(tokens, measured=measured, newlines=newlines, device=device)
    able, lacking = _able(chosen, tokens, skipping, dump)
    skipped = [*(_broken(dump) if skipping else ()), *lacking]
    warm_up((one.build(Budget(0.5)) for one in able), tokens.features.dtype, device, tokens.signals)
    kept: list[Kept] = []
    for i, setting in enumerate(able):
        tell(setting.label, i / (len(able) + 1))
        for ratio in at:
            try:
                kept.append(keeping.at(setting, ratio))
            except InputError as error:
                if not skipping:
                    raise
                skipped.append(_skip(dump, setting, str(error), ratio))
    tell("fidelity", len(able) / (len(able) + 1))
    graph = keeping.graph
    near = nearest_handed_on(tokens, graph.norms, kept) if fidelity else [None] * len(kept)
    events, cuts = event_tokens(graph, tau_diff), cut_tokens(tokens)
    rows = [
        COMPARED_SELECTORS.row(
            {
                "dump": dump,
                "llm": llm,
                **_row(one, nearest, events, cuts),
                **account_flops(shape, one.selection.account),
            }
        )
        for one, nearest in zip(kept, near, strict=True)
    ]
    tell("done", 1.0)
    return Comparison(rows, [{"dump": dump, **pair} for pair in _overlap(kept)], skipped, kept)


def _able(
    settings: Sequence[Setting], tokens: VideoTokens, skipping: bool, dump: str
) -> tuple[list[Setting], list[Row]]:
    """The settings whose signals are present, and a row for each of the others."""
    able, skipped = [], []
    for setting in settings:
        selector = setting.build(Budget(0.5))
        try:
            selector.check_signals(tokens)
        except MissingSignalError as error:
            missing = sorted(selector.requires - tokens.signals.keys())
            needs = f"needs {'signal' if len(missing) == 1 else 'signals'} {', '.join(missing)}"
            if not skipping and missing:
                absent = f"selector {setting.selector!r} {needs}, absent from {dump or 'the tokens'}"
                raise MissingSignalError(absent) from None
            if not skipping:  # the signals are there, but not of the layer it reads
                raise
            needs = needs if missing else str(error)
            skipped.append(_skip(dump, setting, needs, None))
        else:
            able.append(setting)
    return able, skipped


def _broken(dump: str) -> Iterator[Row]:
    """One row per third-party selector that cannot be used, with the reason."""
    faults = {name: SELECTORS.fault(name) for name in SELECTORS.names()}
    for name, reason in {**faults, **SELECTORS.refused()}.items():
        if reason:
            none = {"backend": None, "seed": None, "retain_ratio": None}
            yield {"dump": dump, "selector": name, **none, "reason": reason}


def _key(setting: Setting) -> Row:
    """The columns that distinguish rows of one ratio; None for a default backend or seed, or where nothing is
    random."""
    return {
        "selector": setting.selector,
        "backend": setting.parameters.get("backend"),
        "seed": setting.seed if "seed" in setting.parameters else None,
    }


def _skip(dump: str, setting: Setting, reason: str, ratio: float | None) -> Row:
    return {"dump": dump, **_key(setting), "retain_ratio": ratio, "reason": reason}


def _row(kept: Kept, nearest: Array | None, events: Array, cuts: Array | None) -> Row:
    found, mask = kept.selection, kept.mask
    return {
        **_key(kept.setting),
        "retain_ratio": kept.ratio,
        "kind": found.kind,
        "exactness": found.exactness,
        "positions": found.positions,
        "n_kept": len(found),
        **found.account.to_dict(),
        "measured": found.provenance.get("measured"),
        "select_s": kept.seconds,
        "n_events_kept": int(np.count_nonzero(mask & events)),
        "n_frames_kept": int(np.count_nonzero(found.mask.any(axis=(1, 2)))),
        "frame_evenness": frame_evenness(found.mask) if mask.any() else None,
        **fidelity_columns(nearest, mask, events, cuts),
    }


def _overlap(kept: Sequence[Kept]) -> Iterator[Row]:
    for ratio in dict.fromkeys(one.ratio for one in kept):
        for a, b in combinations([one for one in kept if one.ratio == ratio], 2):
            keys = pair_columns(_key(a.setting), _key(b.setting))
            yield {**keys, "retain_ratio": ratio, "jaccard": jaccard(a.mask, b.mask)}
