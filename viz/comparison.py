"""Comparison rows as tables for a terminal. Reads rows only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stgraph.viz.tables import new_table

Row = Mapping[str, Any]


def comparison_tables(rows: Sequence[Row], overlap: Sequence[Row]) -> RenderableType:
    """Everything ``stgraph compare`` shows for one dump: communities, kept tokens per ratio, overlap, what it means."""
    ratios = list(dict.fromkeys(row["retain_ratio"] for row in rows))
    shown = 0.3 if 0.3 in ratios else ratios[len(ratios) // 2]
    parts: list[RenderableType] = [communities_table(rows)]
    parts += [kept_table([r for r in rows if r["retain_ratio"] == ratio], ratio) for ratio in ratios]
    if overlap:
        parts.append(overlap_table([p for p in overlap if p["retain_ratio"] == shown], shown))
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts), Text(), findings(rows, overlap))


def communities_table(rows: Sequence[Row]) -> Table:
    """What each backend finds, before and after the size cap; means over seeds."""
    first = rows[0]
    cap = "no size cap" if first["max_size"] is None else f"at most {first['max_size']:,} tokens each"
    seeds = len({row["seed"] for row in rows} - {None})
    means = f"; means over {seeds} seeds" if seeds > 1 else ""
    table = new_table(f"Communities ({cap}{means})")
    table.padding, table.show_edge = 0, False  # dense: every column fits a window of 80
    table.add_column("backend", overflow="fold")
    titles = (
        "detect\nms",
        "found",
        "largest",
        "above\n√N",
        "hold",
        "after\ncap",
        "alone",
        "modu-\nlarity",
        "after\ncap",
    )
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for label, group in _grouped(rows):
        table.add_row(
            label,
            f"{1e3 * _mean(group, 'detection_s'):,.1f}",
            *(f"{_mean(group, key):,.0f}" for key in ("n_uncapped", "largest_uncapped", "n_oversized")),
            Text(f"{100 * _mean(group, 'oversized_ratio'):.0f} %", style="bold"),
            *(f"{_mean(group, key):,.0f}" for key in ("n_communities", "n_singletons")),
            *(f"{_mean(group, key):.3f}" for key in ("uncapped_modularity", "modularity")),
        )
    return table


def kept_table(rows: Sequence[Row], ratio: float) -> Table:
    """What each backend keeps at one retain ratio; means over seeds."""
    first = rows[0]
    kept = f"{first['n_kept']:,} of {first['n_tokens']:,} tokens"
    table = new_table(f"Kept at r = {ratio:g}: {kept}, by {first['importance']}")
    table.padding, table.show_edge = 0, False  # dense: every column fits a window of 80
    table.add_column("backend", overflow="fold")
    figures = {
        "near-\nest": "fidelity_mean",
        "5 %": "fidelity_p5",
        "events": "event_fidelity_mean",
        "cuts": "cut_fidelity_mean",
    }
    figures = {title: key for title, key in figures.items() if any(row.get(key) is not None for row in rows)}
    for title in ("SRTS", "DETS", "both", "excess", *figures, "even-\nness", "cap\nchanges"):
        table.add_column(title, justify="right", no_wrap=True)
    for label, group in _grouped(rows):
        table.add_row(
            label,
            *(f"{_mean(group, key):,.0f}" for key in ("n_representative", "n_event", "n_both", "excess")),
            *(_figure(group, key) for key in figures.values()),
            f"{_mean(group, 'frame_evenness'):.3f}",
            f"{100 * _mean(group, 'cap_changed_ratio'):.0f} %",
        )
    return table


def overlap_table(pairs: Sequence[Row], ratio: float) -> Table:
    """Jaccard overlap of the kept sets, mean over seeds; on the diagonal between seeds of the same backend."""
    names = list(dict.fromkeys(backend_label(p, suffix) for p in pairs for suffix in ("_a", "_b")))
    cells: dict[tuple[str, str], list[float]] = {}
    for p in pairs:
        a, b = backend_label(p, "_a"), backend_label(p, "_b")
        for key in {(a, b), (b, a)}:
            cells.setdefault(key, []).append(p["jaccard"])
    table = new_table(f"Overlap of the kept tokens at r = {ratio:g} (Jaccard; diagonal: seeds)")
    table.add_column("", no_wrap=True)
    for i, _ in enumerate(names):
        table.add_column(str(i + 1), justify="right")
    for i, a in enumerate(names):
        values = [f"{fmean(cells[a, b]):.2f}" if (a, b) in cells else "" for b in names]
        table.add_row(f"{i + 1} {a}", *values)
    return table


def sentences(rows: Sequence[Row], overlap: Sequence[Row]) -> list[str]:
    """The comparison in a few sentences."""
    lines = []
    label, group = _grouped(rows)[0]
    if group[0]["max_size"] is not None and _mean(group, "n_oversized"):
        changes = [(row["retain_ratio"], row["cap_changed_ratio"]) for row in group]
        ratio, change = max(changes, key=lambda pair: pair[1])
        lines.append(
            f"{label}: {_mean(group, 'n_oversized'):,.0f} of {_mean(group, 'n_uncapped'):,.0f} communities are larger "
            f"than √N and hold {100 * _mean(group, 'oversized_ratio'):.0f} % of all tokens. Capping them changes up to "
            f"{100 * change:.0f} % of what is kept (r = {ratio:g})."
        )
    for ratio in dict.fromkeys(p["retain_ratio"] for p in overlap):
        shared: dict[tuple[str, str], list[float]] = {}
        for p in overlap:
            a, b = backend_label(p, "_a"), backend_label(p, "_b")
            if p["retain_ratio"] == ratio and a != b:
                shared.setdefault((a, b), []).append(p["jaccard"])
        if shared:
            (a, b), values = min(shared.items(), key=lambda item: fmean(item[1]))
            lines.append(
                f"r = {ratio:g}: {a} and {b} agree least; "
                f"they share {100 * fmean(values):.0f} % of the tokens either keeps."
                if fmean(values) < 1
                else f"r = {ratio:g}: all keep the same tokens."
            )
    return lines


def findings(rows: Sequence[Row], overlap: Sequence[Row]) -> Text:
    """The comparison in a few sentences, and what the columns mean."""
    lines = sentences(rows, overlap)
    lines.append(
        "\nabove √N, hold: communities larger than √N before the cap, and their share of all tokens. alone: tokens "
        "that are a community by themselves. nearest, 5 %: cosine of dropped tokens to the nearest kept one, mean and "
        "5th percentile; events, cuts: the mean over dropped event tokens, and over dropped tokens right after a shot "
        "change. SRTS, DETS, both: kept as representative, as event, as both. excess: candidates beyond the budget, "
        "dropped again. evenness: of the kept tokens over frames, at most 1. cap changes: 1 - Jaccard overlap of what "
        "is kept with and without the cap."
    )
    return Text("\n".join(lines))


def backend_label(row: Row, suffix: str = "") -> str:
    """``igraph-leiden``, and the splitter where it is not the default; ``suffix`` is that of a pair's columns."""
    split = row["split" + suffix]
    name = str(row["backend" + suffix])
    return name if split == "tree" else f"{name} / {split}"


def _grouped(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(backend_label(row), []).append(row)
    return list(groups.items())


def _mean(rows: Iterable[Row], key: str) -> float:
    return fmean(row[key] for row in rows)


def _figure(rows: Iterable[Row], key: str) -> str:
    values = [row[key] for row in rows if row.get(key) is not None]
    return f"{fmean(values):.3f}" if values else "-"
