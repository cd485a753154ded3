"""Backend comparison as tables and sentences. Reads rows only."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stgraph.aliases import Row
from stgraph.columns import NEAREST
from stgraph.viz.columns import ARROWS, legend, mean, shown
from stgraph.viz.terminal.row_tables import RowTable, overlap_means, row_table
from stgraph.viz.terminal.tables import new_table

_COMMUNITIES = (
    *("detection_s", "n_uncapped", "largest_uncapped", "n_oversized", "oversized_ratio", "n_communities"),
    *("n_singletons", "uncapped_modularity", "modularity"),
)
_KEPT = ("n_representative", "n_event", "n_both", "excess", *NEAREST, "frame_evenness", "cap_changed_ratio")


def backend_tables(rows: Sequence[Row]) -> list[RowTable]:
    """Communities of each backend and splitter before and after the size cap, and tokens kept at each ratio."""
    first = rows[0]
    cap = "no size cap" if first["max_size"] is None else f"at most {first['max_size']:,} tokens each"
    seeds = len({row["seed"] for row in rows} - {None})
    means = f"; means over {seeds} seeds" if seeds > 1 else ""
    tables = [row_table(f"Communities: {cap}{means}", None, _COMMUNITIES, rows, backend_label)]
    for ratio in dict.fromkeys(row["retain_ratio"] for row in rows):
        inside = [row for row in rows if row["retain_ratio"] == ratio]
        title = f"Kept: {inside[0]['n_kept']:,} of {inside[0]['n_tokens']:,} tokens, by {inside[0]['importance']}"
        tables.append(row_table(title, ratio, _KEPT, inside, backend_label))
    return tables


def comparison_tables(rows: Sequence[Row], overlap: Sequence[Row], *, meanings: bool = True) -> RenderableType:
    """Everything ``stgraph compare`` shows for one dump: communities, kept tokens per ratio, overlap, findings."""
    ratios = list(dict.fromkeys(row["retain_ratio"] for row in rows))
    at = 0.3 if 0.3 in ratios else ratios[len(ratios) // 2]
    tables = backend_tables(rows)
    parts: list[RenderableType] = [table.on_terminal("backend") for table in tables]
    if overlap:
        parts.append(overlap_table([p for p in overlap if p["retain_ratio"] == at], at))
    meaning = legend(dict.fromkeys(name for table in tables for name in table.columns))
    text = Text("\n".join([*sentences(rows, overlap), *(["", ARROWS, meaning] if meanings else [])]))
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts), Text(), text)


def overlap_table(pairs: Sequence[Row], ratio: float) -> Table:
    """Jaccard overlap of the kept sets, mean over seeds; on the diagonal between seeds of the same backend."""
    names, means = overlap_means(pairs, backend_label)
    table = new_table(f"Overlap of the kept tokens at r = {ratio:g} (Jaccard; diagonal: seeds)")
    table.add_column("", no_wrap=True)
    for i, _ in enumerate(names):
        table.add_column(str(i + 1), justify="right")
    for i, name in enumerate(names):
        table.add_row(f"{i + 1} {name}", *("" if value is None else shown("jaccard", value) for value in means[i]))
    return table


def sentences(rows: Sequence[Row], overlap: Sequence[Row]) -> list[str]:
    """The findings of the comparison, in a few sentences."""
    lines = []
    label = backend_label(rows[0])
    group = [row for row in rows if backend_label(row) == label]
    found = {name: mean(group, name) or 0.0 for name in ("n_oversized", "n_uncapped", "oversized_ratio")}
    if group[0]["max_size"] is not None and found["n_oversized"]:
        changes = [(row["retain_ratio"], row["cap_changed_ratio"]) for row in group]
        ratio, change = max(changes, key=lambda pair: pair[1])
        lines.append(
            f"{label}: {found['n_oversized']:,.0f} of {found['n_uncapped']:,.0f} communities are larger "
            f"than √N and hold {100 * found['oversized_ratio']:.0f} % of all tokens. Capping them changes up to "
            f"{100 * change:.0f} % of what is kept (r = {ratio:g})."
        )
    objectives = dict.fromkeys(row["objective"] for row in rows)
    if len(objectives) > 1:
        held = {one: mean([row for row in rows if row["objective"] == one], "oversized_ratio") for one in objectives}
        shares = ", ".join(f"{one} {shown('oversized_ratio', share)}" for one, share in held.items())
        lines.append(f"Held by communities above √N, by objective: {shares}.")
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


def backend_label(row: Row, suffix: str = "") -> str:
    """``igraph-leiden``, with the splitter unless it is the default; ``suffix`` is that of a pair's columns."""
    split = row["split" + suffix]
    name = str(row["backend" + suffix])
    return name if split == "tree" else f"{name} / {split}"
