"""The tables of a comparison report as plain values: means over seeds, and what each column means. Reads rows only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

Row = Mapping[str, Any]
Table = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A figure of the rows: its title, what it means, and how it is shown (``factor`` times the value)."""

    key: str
    title: str
    meaning: str
    digits: int = 0
    factor: float = 1.0
    unit: str = ""


_COMMUNITIES = (
    Column("detection_s", "detect, ms", "time of the detection, libraries loaded before", 1, 1e3),
    Column("n_uncapped", "found", "communities before the cap"),
    Column("largest_uncapped", "largest", "tokens of the largest community before the cap"),
    Column("n_oversized", "above √N", "communities larger than √N before the cap"),
    Column("oversized_ratio", "hold", "share of all tokens in communities larger than √N before the cap", 0, 100, " %"),
    Column("n_communities", "after cap", "communities after the cap"),
    Column("n_singletons", "alone", "tokens that are a community by themselves"),
    Column("uncapped_modularity", "modularity", "before the cap", 3),
    Column("modularity", "after cap", "modularity after the cap", 3),
)
_NEAREST = (
    Column("fidelity_mean", "nearest", "cosine of dropped tokens to the nearest token handed on, mean", 3),
    Column("fidelity_p5", "nearest, 5 %", "cosine of dropped tokens to the nearest token handed on, 5th percentile", 3),
    Column(
        "event_fidelity_mean",
        "nearest, events",
        "cosine of dropped event tokens to the nearest token handed on, mean",
        3,
    ),
    Column(
        "cut_fidelity_mean",
        "nearest, cuts",
        "cosine of dropped tokens after a shot change to the nearest handed on, mean",
        3,
    ),
    Column("frame_evenness", "evenness", "evenness of the kept tokens over frames, at most 1", 3),
)
_KEPT = (
    Column("n_representative", "repr. only", "tokens kept as representative only"),
    Column("n_event", "events only", "tokens kept as event only"),
    Column("n_both", "both", "tokens kept as both"),
    Column("excess", "excess", "candidates beyond the budget, dropped again"),
    *_NEAREST,
    Column(
        "cap_changed_ratio", "cap changes", "1 - Jaccard overlap of what is kept with and without the cap", 0, 100, " %"
    ),
)
_SELECTORS = (
    Column("n_kept", "kept", "tokens kept, or handed on after merging"),
    Column("mean_layer_ratio", "layer mean", "tokens on average over the LLM's layers, of all", 1, 100, " %"),
    Column("n_events_kept", "events kept", "event tokens among the kept"),
    *_NEAREST,
    Column("select_s", "ms", "time of one run", 0, 1e3),
)


def backend_tables(rows: Sequence[Row], label: Callable[[Row], str]) -> list[Table]:
    """Communities, and what is kept at each ratio; a row for each backend and splitter."""
    ratios = list(dict.fromkeys(row["retain_ratio"] for row in rows))
    tables = [_table("Communities", None, _COMMUNITIES, rows, label)]
    for ratio in ratios:
        inside = [row for row in rows if row["retain_ratio"] == ratio]
        first = inside[0]
        title = f"Kept: {first['n_kept']:,} of {first['n_tokens']:,} tokens, by {first['importance']}"
        tables.append(_table(title, ratio, _KEPT, inside, label))
    return tables


def selector_tables(rows: Sequence[Row], label: Callable[[Row], str]) -> list[Table]:
    """What each selector keeps at each ratio."""
    tables = []
    for ratio in dict.fromkeys(row["retain_ratio"] for row in rows):
        inside = [row for row in rows if row["retain_ratio"] == ratio]
        tables.append(_table(f"Kept of {inside[0]['n_visual']:,} tokens", ratio, _SELECTORS, inside, label))
    return tables


def _table(
    title: str, ratio: float | None, columns: Sequence[Column], rows: Sequence[Row], label: Callable[[Row], str]
) -> Table:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(label(row), []).append(row)
    used = [c for c in columns if any(row.get(c.key) is not None for row in rows)]
    return {
        "title": title,
        "ratio": ratio,
        "columns": [{"title": c.title, "meaning": c.meaning, "digits": c.digits, "unit": c.unit} for c in used],
        "rows": [
            {"label": name, "note": _note(group), "cells": [_mean(group, c) for c in used]}
            for name, group in groups.items()
        ],
    }


def _mean(rows: Sequence[Row], column: Column) -> float | None:
    values = [row[column.key] for row in rows if row.get(column.key) is not None]
    return column.factor * fmean(values) if values else None


def _note(rows: Sequence[Row]) -> str:
    """What a reader should know of a selector beside its figures."""
    first = rows[0]
    parts = ["merges tokens"] if first.get("kind") == "merge" else []
    exactness = first.get("exactness")
    return "; ".join([*parts, *([exactness] if exactness not in (None, "exact") else [])])


def overlap_matrices(overlap: Sequence[Row], label: Callable[[Row, str], str]) -> list[dict[str, Any]]:
    """For each ratio the mean Jaccard overlap of every two labels, None where there is no pair."""
    made = []
    for ratio in dict.fromkeys(p["retain_ratio"] for p in overlap):
        cells: dict[tuple[str, str], list[float]] = {}
        for p in overlap:
            if p["retain_ratio"] == ratio:
                a, b = label(p, "_a"), label(p, "_b")
                for key in {(a, b), (b, a)}:
                    cells.setdefault(key, []).append(p["jaccard"])
        names = list(dict.fromkeys(label(p, s) for p in overlap for s in ("_a", "_b") if p["retain_ratio"] == ratio))
        values = [[fmean(cells[a, b]) if (a, b) in cells else None for b in names] for a in names]
        made.append({"ratio": ratio, "names": names, "values": values})
    return made
