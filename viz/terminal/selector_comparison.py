"""Selector comparison as tables. Reads rows only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stgraph.aliases import Row
from stgraph.columns import NEAREST
from stgraph.viz.columns import ARROWS, legend, mean
from stgraph.viz.terminal.row_tables import RowTable, row_table
from stgraph.viz.terminal.tables import new_table

_COST = ("n_kept", "mean_layer_ratio", "flops_ratio")
_KEPT = (*_COST, "n_events_kept", *NEAREST, "frame_evenness", "jaccard", "select_s")
MARKS = (
    "m: merges tokens; ≈: approximate, the column exactness of the rows says why; #: keeps another number, by a rule "
    "of its own."
)


def kept_tables(rows: Sequence[Row], overlap: Sequence[Row] = ()) -> list[RowTable]:
    """Tokens each selector keeps at each ratio; overlap is with the first selector."""
    tables = []
    for ratio in dict.fromkeys(row["retain_ratio"] for row in rows):
        inside = [row for row in rows if row["retain_ratio"] == ratio]
        first = selector_label(inside[0])
        usual = _usual_counts(inside)
        shared = {name: _shared(overlap, ratio, first, name) for name in map(selector_label, inside)}
        table = row_table(
            f"Kept of {inside[0]['n_visual']:,} tokens",
            ratio,
            _KEPT,
            [{**row, "jaccard": shared[selector_label(row)]} for row in inside],
            selector_label,
            {selector_label(row): "; ".join(_remarks(row, usual).values()) for row in reversed(inside)},
            {selector_label(row): "".join(_remarks(row, usual)) for row in reversed(inside)},
        )
        tables.append(table)
    return tables


def selector_tables(
    rows: Sequence[Row],
    overlap: Sequence[Row],
    skipped: Sequence[Row],
    *,
    defaults: Mapping[str, str] | None = None,
    meanings: bool = True,
) -> RenderableType:
    """Everything ``stgraph compare --selectors`` shows: a table per ratio, skipped selectors, the legend.

    Parameters
    ----------
    defaults : backend by selector, for selectors that find communities and were not given a backend
    """
    tables = kept_tables(rows, overlap)
    parts: list[RenderableType] = [table.on_terminal("selector") for table in tables]
    if skipped:
        parts.append(_skipped_table(skipped))
    said = [*sentences(rows, overlap), *_default_backends(rows, defaults or {}), ""]
    text = Text("\n".join(said)) if rows else Text()
    key = _legend(rows, tables, skipped) if meanings else Text()
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts), Text(), text, key)


def sentences(rows: Sequence[Row], overlap: Sequence[Row]) -> list[str]:
    """The comparison in a few sentences, with the limits of its columns."""
    lines = []
    for ratio in dict.fromkeys(row["retain_ratio"] for row in rows):
        inside = [row for row in rows if row["retain_ratio"] == ratio]
        found = [*_nearness(inside), *_agreement([p for p in overlap if p["retain_ratio"] == ratio])]
        if found:
            lines.append(f"r = {ratio:g}: {'; '.join(found)}.")
    n_approximate = len({selector_label(row) for row in rows if row["exactness"] != "exact"})
    n_all = len({selector_label(row) for row in rows})
    if n_approximate:
        lines.append(f"{n_approximate} of {n_all} depart from their authors here, each in its own way (≈).")
    if any(row["fidelity_mean"] is not None for row in rows):
        lines.append(
            "Fidelity is coverage, not accuracy: tokens at even distances are near everything, divprune picks by "
            "nearly this figure, and nothing asks what the video shows. What is lost in answers: stgraph probe, "
            "stgraph eval."
        )
    return lines


def _default_backends(rows: Sequence[Row], defaults: Mapping[str, str]) -> list[str]:
    """The default backends used, with the selectors that ran with each."""
    names: dict[str, list[str]] = {}
    for name in dict.fromkeys(row["selector"] for row in rows if row["backend"] is None):
        if name in defaults:
            names.setdefault(defaults[name], []).append(name)
    return [f"Communities by the default backend, {engine}: {', '.join(found)}." for engine, found in names.items()]


def _nearness(rows: Sequence[Row]) -> list[str]:
    """The selectors with dropped tokens nearest to and farthest from the tokens they hand on, and where chance
    stands."""
    means = {label: mean(mine, "fidelity_mean") for label, mine in _by_label(rows).items()}
    known = {label: value for label, value in means.items() if value is not None}
    if len(known) < 2:
        return []
    best, worst = max(known, key=lambda label: known[label]), min(known, key=lambda label: known[label])
    found = [f"dropped tokens are nearest to what {best} hands on ({known[best]:.3f}), farthest from {worst}'s "]
    found[0] += f"({known[worst]:.3f})"
    for baseline in ("random", "uniform"):
        if baseline in known and len(known) > 2:
            below = sum(value < known[baseline] for value in known.values())
            found.append(f"{below} of the {len(known) - 1} others are below {baseline} ({known[baseline]:.3f})")
    return found


def _agreement(pairs: Sequence[Row]) -> list[str]:
    """The two selectors whose kept tokens overlap least, and the two that overlap most."""
    shared: dict[tuple[str, str], list[Row]] = {}
    for pair in pairs:
        a, b = selector_label(pair, "_a"), selector_label(pair, "_b")
        if a != b:
            shared.setdefault((a, b), []).append(pair)
    values = {names: mean(found, "jaccard") or 0.0 for names, found in shared.items()}
    if not values:
        return []
    (a, b), (c, d) = min(values, key=lambda n: values[n]), max(values, key=lambda n: values[n])
    least = f"{a} and {b} share {100 * values[a, b]:.0f} % of the tokens either keeps"
    if len(values) == 1:
        return [least]
    return [f"{least}, {c} and {d} {100 * values[c, d]:.0f} %"]


def _by_label(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(selector_label(row), []).append(row)
    return groups


def _usual_counts(rows: Sequence[Row]) -> dict[str | None, int | None]:
    """The number of tokens most selectors keep of each video."""
    counts: dict[str | None, Counter[int | None]] = {}
    for row in rows:
        counts.setdefault(row.get("dump"), Counter())[row.get("n_kept")] += 1
    return {video: found.most_common(1)[0][0] for video, found in counts.items()}


def _remarks(row: Row, usual: Mapping[str | None, int | None]) -> dict[str, str]:
    """Remarks on a selector besides its figures: a sign, and its meaning in words."""
    remarks = {}
    if row.get("kind") == "merge":
        remarks["m"] = "merges tokens"
    if row.get("exactness") not in (None, "exact"):
        remarks["≈"] = row["exactness"]
    if row.get("n_kept") != usual[row.get("dump")] and row.get("measured") != "layers":
        remarks["#"] = "keeps another number of tokens, by a rule of its own"
    return remarks


def _skipped_table(skipped: Sequence[Row]) -> Table:
    table = new_table("Not run")
    table.padding, table.show_edge = 0, False
    table.add_column("selector", no_wrap=True)
    table.add_column("why", overflow="fold")
    reasons: dict[tuple[str, str], list[float]] = {}
    for row in skipped:
        reasons.setdefault((row["selector"], row["reason"]), []).append(row["retain_ratio"])
    for (name, reason), ratios in reasons.items():
        at = ", ".join(f"{r:g}" for r in ratios if r is not None)
        table.add_row(f"{name}  ", Text(f"r = {at}: {reason}" if at else reason))
    return table


def _legend(rows: Sequence[Row], tables: Sequence[RowTable], skipped: Sequence[Row]) -> Text:
    lines = []
    if skipped:
        lines.append(
            "Signals come with a dump; `stgraph sample --synthetic-signals` makes them up, to try all selectors.\n"
        )
    if rows:
        meaning = legend(dict.fromkeys(name for t in tables for name in t.columns))
        lines.append(f"{MARKS} Overlap is with the first row, {selector_label(rows[0])}.\n{ARROWS}\n{meaning}")
    return Text("\n".join(lines))


def selector_label(row: Row, suffix: str = "") -> str:
    """``st-simdiff / igraph-leiden``; ``suffix`` is that of a pair's columns."""
    name, backend = str(row["selector" + suffix]), row["backend" + suffix]
    return f"{name} / {backend}" if backend else name


def _shared(overlap: Sequence[Row], ratio: float, a: str, b: str) -> float | None:
    pairs = [p for p in overlap if p["retain_ratio"] == ratio and a != b]
    return mean([p for p in pairs if {selector_label(p, "_a"), selector_label(p, "_b")} == {a, b}], "jaccard")
