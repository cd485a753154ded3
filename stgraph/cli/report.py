"""What the page of ``stgraph compare --html`` shows beside the rows: the kept tokens themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stgraph.bench.compare import ComparePlan
    from stgraph.bench.selector_plan import SelectorPlan
    from stgraph.selection.result import Selection
    from stgraph.tokens import VideoTokens

Kept = dict[str, Mapping[float, "Selection"]]
Rows = Sequence[Mapping[str, Any]]


def kept_by_backends(
    tokens: VideoTokens, rows: Rows, progress: Callable[[str, float], None], plan: ComparePlan
) -> Kept:
    """What each backend and splitter of the plan keeps, with its first seed."""
    from stgraph.cli.settings import computed
    from stgraph.viz.comparison import backend_label

    first = {(one.backend, one.split): one for one in reversed(plan.selectors())}
    ordered = [first[key] for key in dict.fromkeys((row["backend"], row["split"]) for row in rows)]
    settings = computed(tokens, ordered, plan.retain_ratios, progress)
    return {backend_label({"backend": s.backend, "split": s.split}): s.kept for s in settings}


def kept_by_selectors(
    tokens: VideoTokens, rows: Rows, progress: Callable[[str, float], None], plan: SelectorPlan
) -> Kept:
    """What each selector of the rows keeps, with its first seed; at the ratios it ran at."""
    from stgraph.viz.selector_comparison import selector_label

    ran: dict[str, list[float]] = {}
    for row in rows:
        ran.setdefault(selector_label(row), []).append(row["retain_ratio"])
    budgets = dict(zip(plan.retain_ratios, plan.budgets(), strict=True))
    kept: Kept = {}
    for variant in plan.variants():
        label = selector_label(variant.key)
        if label in ran and label not in kept:
            progress(label, len(kept) / len(ran))
            kept[label] = {r: variant.selector.select(tokens, budgets[r]) for r in dict.fromkeys(ran[label])}
    return kept
