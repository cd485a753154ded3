"""Rows as ``stgraph probe`` makes them, of few selectors and ratios."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def probe_row(selector: str, ratio: float, accuracy: float, **changed: Any) -> Row:
    """A row as ``stgraph eval`` makes it."""
    settings = {"features": "probe", "backend": None, "split": None, "tau_sim": None, "tau_diff": None, "seed": None}
    row: Row = {"model": "m", "selector": selector, **settings, "retain_ratio": ratio}
    for name, value in (("accuracy", accuracy), ("bg", accuracy - 0.1)):
        row |= {name: value, f"{name}_low": value - 0.02, f"{name}_high": value + 0.03}
    return row | changed


PROBE = [
    probe_row("full", 1.0, 0.9),
    probe_row("blind", 0.0, 0.4),
    *(probe_row("random", r, 0.5 + r / 4) for r in (0.5, 0.1)),
    *(
        probe_row("st-simdiff", r, 0.6 + r / 4, backend=b)
        for b in ("lattice-components", "igraph-leiden")
        for r in (0.1, 0.5)
    ),
]
