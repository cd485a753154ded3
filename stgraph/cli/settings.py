"""Backends, splitters and ratios computed ahead, for the pages that show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stgraph.selection.st_simdiff import StSimDiff
    from stgraph.tokens import VideoTokens
    from stgraph.viz.setting import Setting

# Others find the same communities (scipy-components) or much alike ones, or take longer than all these together; -b.
USUAL = ("lattice-components", "igraph-louvain", "igraph-leiden", "networkit-leiden")


def planned(
    backends: Sequence[str], splits: Sequence[str], ratios: Sequence[float], thresholds: dict[str, Any]
) -> list[StSimDiff]:
    """A selector for each backend and splitter, with every name and number checked; no library is asked to work.

    Backends left out are the usual ones that run here.

    Raises
    ------
    UnknownNameError, InputError
        a name or number is wrong
    BackendUnavailableError
        a backend asked for by name cannot run here
    """
    from stgraph.community.base import available_backends, usable_backend
    from stgraph.errors import InputError
    from stgraph.selection.budget import Budget
    from stgraph.selection.st_simdiff import StSimDiff

    for ratio in ratios:
        Budget(retain_ratio=ratio)
    budget, here = Budget(retain_ratio=ratios[0]), available_backends()
    made = []
    for name in dict.fromkeys(backends or [name for name in USUAL if name in here]):
        found = usable_backend(name)
        for split in dict.fromkeys(splits):
            if split == "native" and not found.capabilities.native_cap and len(splits) > 1:
                continue  # asked for beside others: those that can
            made.append(StSimDiff(budget=budget, backend=name, split=split, **thresholds))
    if not made:
        raise InputError("no backend here has a cap of its own; leave --split native out")
    return made


def computed(
    tokens: VideoTokens, selectors: Sequence[StSimDiff], ratios: Sequence[float], progress: Callable[[str, float], None]
) -> list[Setting]:
    """What each selector makes of the tokens at each ratio, and the candidates it chose from."""
    return list(_each(tokens, selectors, sorted(set(ratios)), progress))


def _each(
    tokens: VideoTokens, selectors: Sequence[StSimDiff], ratios: Sequence[float], progress: Callable[[str, float], None]
) -> Iterator[Setting]:
    from stgraph.graph import build_graph
    from stgraph.selection.budget import Budget
    from stgraph.viz.setting import Setting

    selectors[0].check_signals(tokens)
    progress("graph", 0.0)
    graph = build_graph(tokens)
    for i, one in enumerate(selectors):
        progress(f"{one.backend}, {one.split}", i / len(selectors))
        analysis, whole = one.analyse(tokens, graph), replace(one, reduce=False)
        budgets = {ratio: Budget(retain_ratio=ratio) for ratio in ratios}
        yield Setting(
            analysis,
            {ratio: one.select_from(analysis, budget) for ratio, budget in budgets.items()},
            {ratio: whole.select_from(analysis, budget) for ratio, budget in budgets.items()},
        )
    progress("page", 1.0)
