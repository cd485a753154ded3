"""Speed of every selector against one plain read of the features."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from stgraph.bench.speed.plain_read import plain_reads
from stgraph.bench.speed.stages import RATIO, Case, case_row
from stgraph.bench.speed.timing import Work, once, rounds
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens
from stgraph.selection.base import SELECTORS, selector
from stgraph.tokens import VideoTokens

Row = dict[str, Any]
CASE = Case(64, 14, 14, 3584)
ENCODER_WIDTH = 1152  # of SigLIP so400m, the encoder of the models these methods are run with


def measure_selectors(
    case: Case = CASE, n_rounds: int = 15, tell: Callable[[str], None] = lambda label: None
) -> list[Row]:
    """One row per selector at r = 0.3: medians, and multiples of one read; ``quadratic`` marks published algorithms
    whose cost is quadratic in the tokens of a frame, a segment or the video."""
    tell(f"{case}: making tokens with every signal")
    x = synthetic_tokens(case.T, case.H, case.W, case.d)
    tokens = synthetic_signals(VideoTokens.from_array(x), d_encoder=min(ENCODER_WIDTH, 8 * case.d))
    works: dict[str, Work] = {
        name: partial(selector(name, retain_ratio=RATIO).select, tokens) for name in SELECTORS.usable()
    }
    quadratic = {name: bool(getattr(SELECTORS.get(name), "quadratic", False)) for name in works}
    tell(f"{case}: selectors")
    reads = {f"read: {name}": work for name, work in plain_reads(x).items()}
    medians = rounds({**reads, **{name: work for name, work in works.items() if not quadratic[name]}}, n_rounds)
    for name in works:
        if quadratic[name]:
            tell(f"{case}: {name}")
            works[name]()  # what it loads and compiles is not measured
            medians[name] = once(works[name])
    read = min(medians[name] for name in reads)
    return [{**case_row(case, "selector", name, medians[name], read), "quadratic": quadratic[name]} for name in works]
