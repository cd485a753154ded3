"""Terminal tables of a probe run. Reads rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stgraph.aliases import Row
from stgraph.columns import METHOD, SWITCHED
from stgraph.viz.columns import QUESTIONS, mean, narrow_head, shown
from stgraph.viz.terminal.tables import new_table

_PARAMETERS = (*(name for name in METHOD if name != "seed"), "features", "seed", "parameters")
REFERENCES = ("full", "blind")


def probe_tables(
    rows: Sequence[Row], differences: Sequence[Row], features: Sequence[Row], chance: Mapping[str, float]
) -> RenderableType:
    """Everything ``stgraph probe`` shows.

    Parameters
    ----------
    rows : of one run
    differences : of its settings from "random", as returned by ``stgraph.bench.probe.contrasts.against``
    features : statistics of the features and of real ones, see ``stgraph.bench.probe.features``
    chance : accuracy of guessing, by family
    """
    families = [family for family in chance if any(row[family] is not None for row in rows)]
    ratios = sorted({row["retain_ratio"] for row in rows if row["selector"] not in REFERENCES})
    parts = [
        accuracy_table(rows, ratios),
        difference_table(rows, differences, ratios),
        family_table(rows, families, ratios[len(ratios) // 2], chance),
        community_table(rows),
        feature_table(features),
    ]
    shown = [Padding(part, (1, 0, 0, 0)) for part in parts if part is not None]
    return Group(*shown, Text(), _notes(rows, families, [family for family in chance if family not in families]))


def setting_labels(rows: Sequence[Row]) -> dict[tuple[Any, ...], str]:
    """A short name for each setting: its selector and the parameters that differ between settings."""
    settings = {setting_of(row): row for row in rows if row["selector"] not in REFERENCES}
    by_selector: dict[str, list[Row]] = {}
    for row in settings.values():
        by_selector.setdefault(row["selector"], []).append(row)
    labels = {}
    for key, row in settings.items():
        differing = [n for n in _PARAMETERS if len({str(o[n]) for o in by_selector[row["selector"]]}) > 1]
        labels[key] = " ".join([row["selector"], *(_value(name, row[name]) for name in differing)])
    return labels


def setting_of(row: Row) -> tuple[Any, ...]:
    """The values that distinguish a setting from others, regardless of ratio and model."""
    return (row["selector"], *(row[name] for name in _PARAMETERS))


def accuracy_table(rows: Sequence[Row], ratios: Sequence[float]) -> Table:
    """Accuracy in percent for each setting and ratio, and half the width of its interval."""
    table = _by_ratio("Accuracy, % right (half width of the 95 % interval)", ratios)
    for setting, label in setting_labels(rows).items():
        cells = []
        for ratio in ratios:
            here = [row for row in rows if setting_of(row) == setting and row["retain_ratio"] == ratio]
            cells.append(_figure(here, "accuracy") if here else "-")
        table.add_row(Text(label), *cells)
    return table


def difference_table(rows: Sequence[Row], differences: Sequence[Row], ratios: Sequence[float]) -> Table | None:
    """Difference from random at the same ratio in points, pooled over models, and half the width of the interval."""
    found = {(setting_of(row), row["retain_ratio"]): row for row in differences}
    if not found:
        return None
    table = _by_ratio(
        "Difference to random, points (half width of the paired 95 % interval); bold: the interval leaves 0 out", ratios
    )
    for setting, label in setting_labels(rows).items():
        cells = []
        for ratio in ratios:
            row = found.get((setting, ratio))
            if row is None:
                cells.append(Text("-"))
                continue
            sure = row["low"] > 0 or row["high"] < 0
            text = f"{100 * row['difference']:+.1f} ({50 * (row['high'] - row['low']):.1f})"
            cells.append(Text(text, style="bold" if sure else ""))
        if setting[0] != "random":
            table.add_row(Text(label), *cells)
    return table


def _by_ratio(title: str, ratios: Sequence[float]) -> Table:
    table = new_table(title)
    table.add_column("kept by", overflow="fold")
    for ratio in ratios:
        table.add_column(f"r = {ratio:g}", justify="right", no_wrap=True)
    return table


def family_table(rows: Sequence[Row], families: Sequence[str], ratio: float, chance: Mapping[str, float]) -> Table:
    """Accuracy by family of questions at one ratio, between all tokens, none, and guessing."""
    labels = setting_labels(rows)
    there = [row for row in rows if row["retain_ratio"] == ratio and setting_of(row) in labels]
    widest = max((row[f"{family}_high"] - row[f"{family}_low"]) / 2 for row in there for family in families)
    table = new_table(f"By family of questions, r = {ratio:g} (half widths up to {100 * widest:.0f})")
    table.add_column("kept by", overflow="fold")
    for family in families:
        table.add_column(_SHORT.get(family, family), justify="right", no_wrap=True)

    def add(label: str, here: Sequence[Row]) -> None:
        if here:
            table.add_row(Text(label), *(f"{100 * fmean(row[family] for row in here):.0f}" for family in families))

    for setting, label in labels.items():
        add(label, [row for row in there if setting_of(row) == setting])
    table.add_section()
    add("all tokens (r = 1)", [row for row in rows if row["selector"] == "full"])
    add("no token (r = 0)", [row for row in rows if row["selector"] == "blind"])
    table.add_row("guessing", *(f"{100 * chance[family]:.0f}" for family in families))
    return table


def community_table(rows: Sequence[Row]) -> Table | None:
    """Communities of settings that find them; means over videos and ratios."""
    labels = {key: label for key, label in setting_labels(rows).items() if _some(rows, key)}
    if not labels:
        return None
    table = new_table("Communities, mean per video")
    table.add_column("kept by", overflow="fold")
    names = ("n_uncapped", "largest_uncapped", "oversized_ratio", "n_communities", "largest", "n_events")
    for name in names:
        table.add_column(narrow_head(name), justify="right", no_wrap=True)
    for key, label in labels.items():
        here = [row for row in rows if setting_of(row) == key]
        table.add_row(Text(label), *(shown(name, mean(here, name)) for name in names))
    return table


def feature_table(features: Sequence[Row]) -> Table | None:
    """Statistics of the features, compared with those of real tokens."""
    if not features:
        return None
    table = new_table("Features, by cosine similarity; components at 0.8")
    table.add_column("features", overflow="fold")
    titles = ("spatial", "temporal", "random", "> 0.8", "< 0.2", "components", "largest", "above √N")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for row in features:
        means = [f"{row[name]:.2f}" for name in ("spatial_mean", "temporal_mean", "random_mean")]
        shares = [f"{100 * row[name]:.1f} %" for name in ("above", "below")]
        held = [f"{100 * row[name]:.0f} %" for name in ("largest_ratio", "oversized_ratio")]
        table.add_row(Text(row["features"]), *means, *shares, f"{row['n_components']:,.0f}", *held)
    return table


def paper_table(
    rows: Sequence[Row],
    settings: Sequence[tuple[str, str, Mapping[str, Any]]],
    paper: Mapping[tuple[int, float], Mapping[str, float]],
    source: str,
) -> Table:
    """The probe's accuracy beside the paper's for the same setting; model and questions differ.

    Parameters
    ----------
    settings : (the paper's name, selector, parameters) in the order of the preset
    paper : (number of the setting, ratio) -> benchmark -> accuracy in percent
    """
    benchmarks = list(dict.fromkeys(name for figures in paper.values() for name in figures))
    table = new_table(f"Beside the paper ({source}), % right")
    table.add_column("r", justify="right")
    table.add_column("kept by", overflow="fold")
    for title in ("probe", *benchmarks):
        table.add_column(title, justify="right", no_wrap=True)
    for ratio in dict.fromkeys(row["retain_ratio"] for row in rows if row["selector"] not in REFERENCES):
        for i, (name, selector, parameters) in enumerate(settings):
            here = [row for row in rows if _is(row, selector, parameters) and row["retain_ratio"] == ratio]
            if here:
                figures = paper.get((i, ratio), {})
                cells = [f"{figures[b]:.1f}" if b in figures else "" for b in benchmarks]
                table.add_row(f"{ratio:g}", Text(name), _figure(here, "accuracy"), *cells)
        table.add_section()
    return table


def _is(row: Row, selector: str, parameters: Mapping[str, Any]) -> bool:
    return row["selector"] == selector and all(str(row[name]) == str(value) for name, value in parameters.items())


def _some(rows: Sequence[Row], setting: tuple[Any, ...]) -> bool:
    return any(row["n_communities"] is not None for row in rows if setting_of(row) == setting)


def _figure(rows: Sequence[Row], name: str) -> str:
    """Mean over models, and half the mean width of their intervals."""
    mean = fmean(row[name] for row in rows)
    half = fmean((row[f"{name}_high"] - row[f"{name}_low"]) / 2 for row in rows)
    return f"{100 * mean:.1f} ({100 * half:.1f})"


def _value(name: str, value: Any) -> str:
    if name in SWITCHED:
        return SWITCHED[name][0 if value else 1]
    if name in ("backend", "split", "importance", "features", "parameters"):
        return str(value)
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _notes(rows: Sequence[Row], families: Sequence[str], left_out: Sequence[str]) -> Text:
    models = list(dict.fromkeys(row["model"] for row in rows))
    first = rows[0]
    full, blind = ([row for row in rows if row["selector"] == name] for name in REFERENCES)
    lines = [
        f"{first['n_questions']:,} questions about {first['n_videos']:,} synthetic videos ({first['videos']} split) of "
        f"1,024 tokens; model {', '.join(models)}. All tokens: {_figure(full, 'accuracy')}, none: "
        f"{_figure(blind, 'accuracy')}.",
        "Families: " + ", ".join(f"{_SHORT.get(family, family)} ({QUESTIONS[family]})" for family in families) + ".",
        "A synthetic probe: it shows what a selection loses for these questions; it is not a substitute for VideoMME.",
    ]
    if left_out:
        lines.insert(2, f"Not asked, for not every model answers them from all tokens: {', '.join(left_out)}.")
    return Text("\n".join(lines))


_SHORT = {"direction": "way"}  # so that all families fit 80 characters
