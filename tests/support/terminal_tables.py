"""Rows with figures as wide as they get, and the text a terminal of some width shows of a table."""

from __future__ import annotations

import io
import re
from typing import Any

from rich.console import Console, RenderableType

Row = dict[str, Any]
BACKENDS = (
    *("lattice-components", "scipy-components", "igraph-louvain", "igraph-leiden", "leidenalg-leiden"),
    *("networkx-louvain", "networkit-louvain", "networkit-leiden", "graspologic-leiden"),
)
ELLIPSIS = "…"


def render(what: RenderableType, width: int) -> str:
    """The text a terminal of that width shows."""
    stream = io.StringIO()
    Console(width=width, file=stream, highlight=False).print(what)
    return stream.getvalue()


def cells(text: str, label: str) -> list[str]:
    """What stands behind ``label`` on its lines."""
    found = re.findall(rf"^ *(?:\d+ )?{re.escape(label)} +(?![ /])(.*?) *$", text, re.MULTILINE)
    assert found, f"no line for {label}"
    return found


def row(backend: str, seed: int | None = None, **changed: Any) -> Row:
    """A row as ``stgraph compare`` makes it, with figures as wide as they get."""
    return {
        "backend": backend,
        "objective": "none",
        "split": "tree",
        "seed": seed,
        "retain_ratio": 0.3,
        "n_kept": 300_000,
        "max_size": 1000,
        "detection_s": 12.3456,
        "n_uncapped": 123_456,
        "largest_uncapped": 654_321,
        "n_oversized": 4567,
        "oversized_ratio": 0.614,
        "n_communities": 234_567,
        "n_singletons": 76_543,
        "uncapped_modularity": 0.9176,
        "modularity": 0.8644,
        "n_tokens": 1_000_000,
        "importance": "norm",
        "n_representative": 246_512,
        "n_event": 36_245,
        "n_both": 24_509,
        "excess": 115_678,
        "fidelity_mean": 0.8551,
        "fidelity_p5": 0.6421,
        "event_fidelity_mean": 0.7654,
        "cut_fidelity_mean": 0.8932,
        "frame_evenness": 0.9582,
        "cap_changed_ratio": 0.2994,
        **changed,
    }


def pair(a: str, b: str, jaccard: float, ratio: float = 0.3, seeds: tuple[int, int] = (0, 1)) -> Row:
    sides = {"a": (a, seeds[0]), "b": (b, seeds[1])}
    names = {
        f"{k}_{s}": v for s, (n, seed) in sides.items() for k, v in (("backend", n), ("split", "tree"), ("seed", seed))
    }
    return {**names, "retain_ratio": ratio, "jaccard": jaccard}
