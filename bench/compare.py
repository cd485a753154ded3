"""Comparison of community backends on the same tokens, and of the tokens a VLM would see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from stgraph.aliases import Progress
from stgraph.bench.fidelity import cut_tokens, jaccard
from stgraph.bench.measures import (
    candidate_columns,
    community_columns,
    fidelity_columns,
    nearest_handed_on,
    pair_columns,
)
from stgraph.bench.tables.experiments import COMPARED_BACKENDS
from stgraph.bench.tables.table import Row
from stgraph.bench.warm_up import warm_up
from stgraph.community.agreement import agreement
from stgraph.errors import InputError
from stgraph.selection.budget import Budget
from stgraph.selection.keeping import Keeping, Kept
from stgraph.selection.settings import Setting, backend_settings, check_settings
from stgraph.selection.st_simdiff.centrality import centrality
from stgraph.selection.st_simdiff.paper import StSimDiff
from stgraph.tokens import VideoTokens

RATIOS = (0.1, 0.3, 0.5)


@dataclass(frozen=True)
class Comparison:
    """A comparison as tidy rows.

    Attributes
    ----------
    rows : one per setting and ratio
    overlap : one per pair of rows
    skipped : settings that could not run, with the reason
    kept : the kept tokens of each row, in order
    """

    rows: list[Row]
    overlap: list[Row]
    skipped: list[Row]
    kept: list[Kept]

    @property
    def tables(self) -> dict[str, list[Row]]:
        """The tables by name, without an empty "skipped"."""
        tables = {"rows": self.rows, "overlap": self.overlap}
        return {**tables, "skipped": self.skipped} if self.skipped else tables


def compare_backends(
    tokens: VideoTokens,
    settings: Sequence[Setting] | None = None,
    ratios: Sequence[float] = RATIOS,
    *,
    fidelity: bool = True,
    dump: str = "",
    progress: Progress | None = None,
    device: str = "cpu",
) -> Comparison:
    """Compare settings of st-simdiff at each ratio.

    Parameters
    ----------
    tokens : VideoTokens
    settings : of st-simdiff or its variants, see :func:`stgraph.selection.settings.backend_settings`; None for
        one backend per objective
    ratios : r values
    fidelity : whether to compute the O(N^2 d) nearest-kept-token figures
    dump : name of the input, for the rows
    progress : called with a label and the share of the work done, 0 to 1
    device : where graph, communities and centrality are computed, "cpu" or "cuda"; figures are computed on the CPU

    Raises
    ------
    UnavailableError
        no such device here
    UnknownNameError, BackendUnavailableError, InputError, MissingSignalError
        a setting is wrong, finds no communities or lacks a signal; raised before any work
    """
    tell = progress or (lambda label, share: None)
    chosen = backend_settings() if settings is None else list(settings)
    at = tuple(dict.fromkeys(ratios))
    check_settings(chosen, at)
    check_keys(chosen, _key)
    made = [_built(one) for one in chosen]
    for selector in made:
        selector.check_signals(tokens)
    tell("compiling kernels, loading libraries", 0.0)
    warm_up(made, tokens.features.dtype, device, tokens.signals)
    tell("graph", 0.0)
    keeping = Keeping(tokens, device=device)
    groups = []
    for i, one in enumerate(chosen):
        tell(one.get("backend"), i / (len(chosen) + 1))
        groups.append([keeping.at(one, ratio) for ratio in at])
    kept = [one for group in groups for one in group]
    tell("fidelity", len(chosen) / (len(chosen) + 1))
    near = nearest_handed_on(tokens, keeping.graph.norms, kept) if fidelity else [None] * len(kept)
    columns = [row for group in groups for row in _columns(group)]
    cuts = cut_tokens(tokens)
    rows = [
        COMPARED_BACKENDS.row({"dump": dump, **row, **fidelity_columns(nearest, one.mask, one.analysis.events, cuts)})
        for row, one, nearest in zip(columns, kept, near, strict=True)
        if one.analysis is not None
    ]
    tell("done", 1.0)
    return Comparison(rows, [{"dump": dump, **pair} for pair in _overlap(groups)], [], kept)


def check_keys(settings: Sequence[Setting], key_of: Callable[[Setting], Row]) -> None:
    """Raise InputError if the rows of two settings would be indistinguishable."""
    seen: set[tuple[object, ...]] = set()
    for one in settings:
        key = key_of(one)
        n_before = len(seen)
        seen.add(tuple(key.values()))
        if len(seen) == n_before:
            same = ", ".join(f"{name} {value}" for name, value in key.items() if value is not None)
            raise InputError(
                f"two settings have the same {same}, by which rows are told apart; compare one at a time, or sweep "
                "thresholds with stgraph sweep"
            )


def _built(setting: Setting) -> StSimDiff:
    made = setting.build(Budget(0.5))
    if not isinstance(made, StSimDiff):
        raise InputError(
            f"{setting} finds no communities; backends are compared by st-simdiff, selectors by compare_selectors"
        )
    return made


def _key(setting: Setting) -> Row:
    """The columns that distinguish rows of one ratio."""
    return {"backend": setting.get("backend"), "split": setting.get("split"), "seed": setting.seed}


def _columns(group: Sequence[Kept]) -> Iterator[Row]:
    """The rows of one setting, without fidelity figures."""
    analysis = group[0].analysis
    assert analysis is not None
    communities = community_columns(analysis)
    # The same communities without the cap, to isolate its effect on the kept set.
    free = replace(analysis.partition, labels=analysis.partition.uncapped_labels)
    uncapped = replace(analysis, partition=free, centrality=centrality(analysis.tokens, analysis.graph, free))
    selector = _built(group[0].setting)
    for one in group:
        without = selector.select_from(uncapped, Budget(one.ratio)).mask.reshape(-1)
        yield {
            **_key(one.setting),
            "retain_ratio": one.ratio,
            "max_size": analysis.partition.provenance.max_size,
            "tau_sim": analysis.graph.tau_sim,
            "tau_diff": selector.tau_diff,
            "importance": one.selection.report["importance"],
            **communities,
            **candidate_columns(one),
            "cap_changed_ratio": 1 - jaccard(one.mask, without),
        }


def _overlap(groups: Sequence[Sequence[Kept]]) -> Iterator[Row]:
    for a, b in combinations(groups, 2):
        one, other = a[0].analysis, b[0].analysis
        assert one is not None and other is not None
        alike = agreement(one.partition.labels, other.partition.labels)
        raw = agreement(one.partition.uncapped_labels, other.partition.uncapped_labels)
        for x, y in zip(a, b, strict=True):
            yield {
                **pair_columns(_key(x.setting), _key(y.setting)),
                "retain_ratio": x.ratio,
                "jaccard": jaccard(x.mask, y.mask),
                "nmi": alike.nmi,
                "ari": alike.ari,
                "vi": alike.vi,
                "uncapped_nmi": raw.nmi,
            }
