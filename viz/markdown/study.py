"""Markdown tables from the rows of the clustering study, for ``docs/what-clustering-changes.md``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from stgraph.aliases import Row
from stgraph.columns import METHOD
from stgraph.multiplicity import holm
from stgraph.selection.settings import Setting
from stgraph.selection.st_simdiff.presets import ABLATION

Differences = dict[tuple[str, str], dict[float, Row]]
FILES = ("dev", "test", "contrasts", "features", "thresholds", "sample", "sample-sweep")
LEVEL = 0.05  # of Holm's correction, over all differences of the page
_PAPER = Setting("st-simdiff", {"importance": "attention"})  # the paper's method, which the study varies
BASE = {
    "selector": _PAPER.selector,
    "features": "projector",
    **{name: str(_PAPER.get(name)) for name in METHOD if name != "seed"},
}


def tables(rows: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Tables by name, of the rows of :data:`FILES`."""
    dev, test, contrasts, features, thresholds, sample, sample_sweep = (rows[name] for name in FILES)
    chosen = next(row["tau_sim"] for row in thresholds if row["features"] == "projector")
    taus = list(dict.fromkeys((0.8, chosen)))
    asked = [row for row in contrasts if row["contrast"] in ("events", "backend", "max_size")]
    differences = {"contrasts": _differences(contrasts, taus, "all"), "contrasts-evt": _differences(asked, taus, "evt")}
    tests = [row for table in differences.values() for line in table.values() for row in line.values()]
    sure = {id(row) for row, p in zip(tests, holm([row["p"] for row in tests]), strict=True) if p <= LEVEL}
    return {
        "features": feature_table(features),
        "thresholds": threshold_table(dev),
        "methods": method_table(test, taus),
        "ablation": ablation_table(test, taus),
        "backends": backend_table(test, taus),
        **{name: contrast_table(table, sure) for name, table in differences.items()},
        "recipes": recipe_table(test, chosen),
        "sample": sample_table(sample),
        "sample-sweep": sample_sweep_table(sample_sweep),
    }


def feature_table(features: Iterable[Row]) -> str:
    """Statistics of the features, the probe's beside real ones."""
    head = "features|spatial|temporal|random pairs|> 0.8|< 0.2|components|in the largest|in those above √N"
    body = []
    for row in features:
        means = [f"{row[name]:.2f}" for name in ("spatial_mean", "temporal_mean", "random_mean")]
        shares = [f"{100 * row[name]:.1f} %" for name in ("above", "below")]
        held = [f"{100 * row[name]:.0f} %" for name in ("largest_ratio", "oversized_ratio")]
        body.append([row["features"], *means, *shares, f"{row['n_components']:,.0f}", *held])
    return markdown(head.split("|"), body)


def threshold_table(dev: Sequence[Row]) -> str:
    """Accuracy on dev for each tau_sim and kind of features, mean over models and ratios."""
    rows = [row for row in dev if row["selector"] == "st-simdiff"]
    taus, kinds = _distinct(rows, "tau_sim"), _distinct(rows, "features")
    body = []
    for kind in kinds:
        mean = [_mean(row for row in rows if (row["features"], row["tau_sim"]) == (kind, tau)) for tau in taus]
        body.append([kind, *(f"**{m:.1f}**" if m == max(mean) else f"{m:.1f}" for m in mean)])
    return markdown(["graph built on", *map(str, taus)], body)


def method_table(test: Sequence[Row], taus: Sequence[float]) -> str:
    """Accuracy of every method at every ratio; st-simdiff as the paper has it, at the two thresholds."""
    ratios = ratios_of(test)
    body = []
    for name in dict.fromkeys(row["selector"] for row in test):
        if name not in ("full", "blind", "st-simdiff"):
            body.append([f"`{name}`", *(accuracy(test, ratio, selector=name) for ratio in ratios)])
    for tau in taus:
        cells = [accuracy(test, ratio, **{**BASE, "tau_sim": tau}) for ratio in ratios]
        body.append([f"`st-simdiff`, tau_sim {tau}", *cells])
    for name, label in (("full", "all tokens"), ("blind", "no token")):
        (cell,) = {accuracy([row for row in test if row["selector"] == name], None)}
        body.append([label, *[cell] * len(ratios)])
    return markdown(["kept by", *(f"r = {ratio}" for ratio in ratios)], body)


def ablation_table(test: Sequence[Row], taus: Sequence[float]) -> str:
    """The rows of the paper's tables 3 and 5: which edges, and whether events."""
    ratios, body = ratios_of(test), []
    for tau in taus:
        for name, row in ABLATION.items():
            setting = {**BASE, "tau_sim": tau, **{switch: str(value) for switch, value in row.items()}}
            body.append([str(tau), name, *(accuracy(test, ratio, **setting) for ratio in ratios)])
    return markdown(["tau_sim", "row", *(f"r = {ratio}" for ratio in ratios)], body)


def backend_table(test: Sequence[Row], taus: Sequence[float]) -> str:
    """Backends with and without the cap: the communities, and the accuracy."""
    ratios = ratios_of(test)
    rows = [row for row in test if row["selector"] == "st-simdiff"]
    body = []
    for tau in taus:
        for cap in ("none", "sqrt"):
            for backend in _distinct(rows, "backend"):
                setting = {**BASE, "tau_sim": tau, "max_size": cap, "backend": backend}
                here = [row for row in rows if matches(row, setting)]
                found = {name: fmean(row[name] for row in here) for name in ("n_communities", "largest")}
                share = fmean(row["oversized_ratio"] for row in here)
                counts = [f"{found['n_communities']:.0f}", f"{found['largest']:.0f}", f"{100 * share:.0f} %"]
                cells = [accuracy(rows, ratio, **setting) for ratio in ratios]
                body.append([str(tau), "√N" if cap == "sqrt" else "none", f"`{backend}`", *counts, *cells])
    head = ["tau_sim", "cap", "backend", "communities", "largest", "above √N before"]
    return markdown([*head, *(f"r = {ratio}" for ratio in ratios)], body)


def _differences(contrasts: Sequence[Row], taus: Sequence[float], family: str) -> Differences:
    """Effect of one choice with everything else as in the paper: (choice, tau_sim) -> ratio -> row."""
    rows = [row for row in contrasts if row["family"] == family and not row["contrast"].startswith("against")]
    found: Differences = {}
    for column, a, b in dict.fromkeys((row["contrast"], row["a"], row["b"]) for row in rows):
        for tau in [None] if column == "tau_sim" else taus:
            setting = BASE if tau is None else {**BASE, "tau_sim": tau}
            wanted = {name: value for name, value in setting.items() if name != column}
            here = [
                row for row in rows if (row["contrast"], row["a"], row["b"]) == (column, a, b) and matches(row, wanted)
            ]
            if here:
                found[f"{column}: {a} over {b}", str(tau or "-")] = {row["retain_ratio"]: row for row in here}
    return found


def contrast_table(differences: Differences, sure: Collection[int]) -> str:
    """Differences in points with 95 % intervals; bold those whose rows (by ``id``) are ``sure``."""
    ratios = ratios_of(row for line in differences.values() for row in line.values())
    body = []
    for labels, line in differences.items():
        body.append([*labels, *(difference(line[ratio], id(line[ratio]) in sure) for ratio in ratios)])
    return markdown(["choice", "tau_sim", *(f"r = {ratio}" for ratio in ratios)], body)


def recipe_table(test: Sequence[Row], tau: float) -> str:
    """Accuracy by model: those that were trained on dropped tokens, and the one that was not."""
    ratios = ratios_of(test)
    body = []
    for model in _distinct(test, "model"):
        mine = [row for row in test if row["model"] == model]
        for name, setting in (("random", {"selector": "random"}), ("st-simdiff", {**BASE, "tau_sim": tau})):
            body.append([model, f"`{name}`", *(accuracy(mine, ratio, **setting) for ratio in ratios)])
        full = [row for row in mine if row["selector"] == "full"]
        body.append([model, "all tokens", *[accuracy(full, None)] * len(ratios)])
    return markdown(["model", "kept by", *(f"r = {ratio}" for ratio in ratios)], body)


def sample_table(rows: Sequence[Row], ratio: float = 0.3) -> str:
    """Backends and splitters on real tokens: communities, what the cap changes, and what the kept tokens stand for."""
    body = []
    for row in rows:
        if row["retain_ratio"] == ratio:
            share, changed = (f"{100 * row[name]:.0f} %" for name in ("oversized_ratio", "cap_changed_ratio"))
            near = [f"{row[name]:.3f}" for name in ("fidelity_mean", "fidelity_p5")]
            found, largest, left = (str(row[name]) for name in ("n_uncapped", "largest_uncapped", "n_communities"))
            body.append([f"`{row['backend']}`", row["split"], found, largest, share, left, changed, *near])
    head = "backend|split|found|largest|above √N|after the cap|the cap changes|fidelity|its 5th percentile"
    return markdown(head.split("|"), body)


def sample_sweep_table(rows: Sequence[Row], ratio: float = 0.3) -> str:
    """Rows of the paper's ablation on real tokens: mean cosine of a dropped token to the nearest kept one."""
    here = [row for row in rows if row["retain_ratio"] == ratio]
    taus, body = [tau for tau in _distinct(here, "tau_sim") if tau is not None], []
    for preset in _distinct(here, "preset"):
        found = {row["tau_sim"]: f"{row['fidelity_mean']:.3f}" for row in here if row["preset"] == preset}
        body.append([preset, *(found.get(tau, found.get(None, "")) for tau in taus)])
    return markdown(["edges and events", *map(str, taus)], body)


def accuracy(rows: Iterable[Row], ratio: float | None, **setting: object) -> str:
    """Mean over models, and half the mean width of their intervals."""
    here = _at(rows, ratio, setting)
    half = fmean((row["accuracy_high"] - row["accuracy_low"]) / 2 for row in here)
    return f"{_mean(here):.1f} ± {100 * half:.1f}"


def mean_accuracy(rows: Iterable[Row], ratio: float | None, **setting: object) -> float:
    """Mean over models, in percent."""
    return _mean(_at(rows, ratio, setting))


def corrected_table(head: Sequence[str], contrasts: Iterable[Row], labels: Callable[[Row], tuple[str, ...]]) -> str:
    """Differences in points, a column per ratio; bold those beyond chance after Holm's correction over the table."""
    rows = sorted(contrasts, key=lambda row: row["retain_ratio"])
    lines: dict[tuple[str, ...], list[str]] = {}
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        lines.setdefault(labels(row), []).append(difference(row, p <= LEVEL))
    body = [[*label, *cells] for label, cells in lines.items()]
    return markdown([*head, *(f"r = {ratio}" for ratio in ratios_of(rows))], body)


def difference(row: Row, sure: bool) -> str:
    value, low, high = (100 * row[name] for name in ("difference", "low", "high"))
    text = f"{value:+.1f} [{low:.1f}, {high:.1f}]"
    return f"**{text}**" if sure else text


def _at(rows: Iterable[Row], ratio: float | None, setting: Mapping[str, object]) -> list[Row]:
    return [row for row in rows if (ratio is None or row["retain_ratio"] == ratio) and matches(row, setting)]


def _mean(rows: Iterable[Row]) -> float:
    return 100 * fmean(row["accuracy"] for row in rows)


def matches(row: Row, setting: Mapping[str, object]) -> bool:
    """Whether the row is of this setting; compared as text, which ``tau_diff`` and ``max_size`` may be."""
    return all(str(row[name]) == str(value) for name, value in setting.items())


def _distinct(rows: Iterable[Row], name: str) -> list[Any]:
    return list(dict.fromkeys(row[name] for row in rows))


def ratios_of(rows: Iterable[Row]) -> list[float]:
    return sorted({row["retain_ratio"] for row in rows} - {0.0, 1.0})


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
