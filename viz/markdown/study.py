"""Markdown tables from the rows of the clustering study, for ``docs/what-clustering-changes.md``.

``python -m stgraph.viz.markdown.study DIR`` prints them; a test holds the page against the
rows that are in the repository.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from stgraph.columns import METHOD
from stgraph.multiplicity import holm
from stgraph.selection.settings import Setting
from stgraph.selection.st_simdiff.presets import ABLATION

Row = Mapping[str, str]
Differences = dict[tuple[str, str], dict[str, Row]]
LEVEL = 0.05  # of Holm's correction, over all differences of the page
_PAPER = Setting("st-simdiff", {"importance": "attention"})  # the paper's method, which the study varies
BASE = {
    "selector": _PAPER.selector,
    "features": "projector",
    **{name: str(_PAPER.get(name)) for name in METHOD if name != "seed"},
}


def study_tables(folder: Path) -> dict[str, str]:
    """Tables by name, of the files that ``make study`` writes."""
    dev, test, contrasts, features, thresholds = (
        read(folder / f"{name}.csv") for name in ("dev", "test", "contrasts", "features", "thresholds")
    )
    chosen = next(row["tau_sim"] for row in thresholds if row["features"] == "projector")
    taus = list(dict.fromkeys(("0.8", chosen)))
    asked = [row for row in contrasts if row["contrast"] in ("events", "backend", "max_size")]
    differences = {"contrasts": _differences(contrasts, taus, "all"), "contrasts-evt": _differences(asked, taus, "evt")}
    tests = [row for table in differences.values() for line in table.values() for row in line.values()]
    sure = {id(row) for row, p in zip(tests, holm([float(row["p"]) for row in tests]), strict=True) if p <= LEVEL}
    return {
        "features": feature_table(features),
        "thresholds": threshold_table(dev),
        "methods": method_table(test, taus),
        "ablation": ablation_table(test, taus),
        "backends": backend_table(test, taus),
        **{name: contrast_table(table, sure) for name, table in differences.items()},
        "recipes": recipe_table(test, chosen),
        "sample": sample_table(read(folder / "sample.csv")),
        "sample-sweep": sample_sweep_table(read(folder / "sample-sweep.csv")),
    }


def read(path: Path) -> list[Row]:
    """The rows of a CSV file, as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def feature_table(features: Iterable[Row]) -> str:
    """Statistics of the features, the probe's beside real ones."""
    head = "features|spatial|temporal|random pairs|> 0.8|< 0.2|components|in the largest|in those above √N"
    body = []
    for row in features:
        means = [f"{float(row[name]):.2f}" for name in ("spatial_mean", "temporal_mean", "random_mean")]
        shares = [f"{100 * float(row[name]):.1f} %" for name in ("above", "below")]
        held = [f"{100 * float(row[name]):.0f} %" for name in ("largest_ratio", "oversized_ratio")]
        body.append([row["features"], *means, *shares, f"{float(row['n_components']):,.0f}", *held])
    return markdown(head.split("|"), body)


def threshold_table(dev: Sequence[Row]) -> str:
    """Accuracy on dev for each tau_sim and kind of features, mean over models and ratios."""
    rows = [row for row in dev if row["selector"] == "st-simdiff"]
    taus, kinds = _distinct(rows, "tau_sim"), _distinct(rows, "features")
    body = []
    for kind in kinds:
        mean = [_mean(row for row in rows if (row["features"], row["tau_sim"]) == (kind, tau)) for tau in taus]
        body.append([kind, *(f"**{m:.1f}**" if m == max(mean) else f"{m:.1f}" for m in mean)])
    return markdown(["graph built on", *taus], body)


def method_table(test: Sequence[Row], taus: Sequence[str]) -> str:
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


def ablation_table(test: Sequence[Row], taus: Sequence[str]) -> str:
    """The rows of the paper's tables 3 and 5: which edges, and whether events."""
    ratios, body = ratios_of(test), []
    for tau in taus:
        for name, row in ABLATION.items():
            setting = {**BASE, "tau_sim": tau, **{switch: str(value) for switch, value in row.items()}}
            body.append([tau, name, *(accuracy(test, ratio, **setting) for ratio in ratios)])
    return markdown(["tau_sim", "row", *(f"r = {ratio}" for ratio in ratios)], body)


def backend_table(test: Sequence[Row], taus: Sequence[str]) -> str:
    """Backends with and without the cap: the communities, and the accuracy."""
    ratios = ratios_of(test)
    rows = [row for row in test if row["selector"] == "st-simdiff"]
    body = []
    for tau in taus:
        for cap in ("none", "sqrt"):
            for backend in _distinct(rows, "backend"):
                setting = {**BASE, "tau_sim": tau, "max_size": cap, "backend": backend}
                here = [row for row in rows if matches(row, setting)]
                found = {name: fmean(float(row[name]) for row in here) for name in ("n_communities", "largest")}
                share = fmean(float(row["oversized_ratio"]) for row in here)
                counts = [f"{found['n_communities']:.0f}", f"{found['largest']:.0f}", f"{100 * share:.0f} %"]
                cells = [accuracy(rows, ratio, **setting) for ratio in ratios]
                body.append([tau, "√N" if cap == "sqrt" else "none", f"`{backend}`", *counts, *cells])
    head = ["tau_sim", "cap", "backend", "communities", "largest", "above √N before"]
    return markdown([*head, *(f"r = {ratio}" for ratio in ratios)], body)


def _differences(contrasts: Sequence[Row], taus: Sequence[str], family: str) -> Differences:
    """What one choice changes with all else as the paper has it: (choice, tau_sim) -> ratio -> row."""
    rows = [row for row in contrasts if row["family"] == family and not row["contrast"].startswith("against")]
    found: Differences = {}
    for column, a, b in dict.fromkeys((row["contrast"], row["a"], row["b"]) for row in rows):
        for tau in [""] if column == "tau_sim" else taus:
            setting = {**BASE, "tau_sim": tau} if tau else dict(BASE)
            wanted = {name: value for name, value in setting.items() if name != column}
            here = [
                row for row in rows if (row["contrast"], row["a"], row["b"]) == (column, a, b) and matches(row, wanted)
            ]
            if here:
                found[f"{column}: {a} over {b}", tau or "-"] = {row["retain_ratio"]: row for row in here}
    return found


def contrast_table(differences: Differences, sure: Collection[int]) -> str:
    """Differences in points with 95 % intervals; bold those whose rows (by ``id``) are ``sure``."""
    ratios = ratios_of(row for line in differences.values() for row in line.values())
    body = []
    for labels, line in differences.items():
        body.append([*labels, *(difference(line[ratio], id(line[ratio]) in sure) for ratio in ratios)])
    return markdown(["choice", "tau_sim", *(f"r = {ratio}" for ratio in ratios)], body)


def recipe_table(test: Sequence[Row], tau: str) -> str:
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


def sample_table(rows: Sequence[Row], ratio: str = "0.3") -> str:
    """Backends and splitters on real tokens: communities, what the cap changes, and what the kept tokens stand for."""
    body = []
    for row in rows:
        if row["retain_ratio"] == ratio:
            share, changed = (f"{100 * float(row[name]):.0f} %" for name in ("oversized_ratio", "cap_changed_ratio"))
            near = [f"{float(row[name]):.3f}" for name in ("fidelity_mean", "fidelity_p5")]
            counts = [row["n_uncapped"], row["largest_uncapped"], share, row["n_communities"], changed]
            body.append([f"`{row['backend']}`", row["split"], *counts, *near])
    head = "backend|split|found|largest|above √N|after the cap|the cap changes|fidelity|its 5th percentile"
    return markdown(head.split("|"), body)


def sample_sweep_table(rows: Sequence[Row], ratio: str = "0.3") -> str:
    """Rows of the paper's ablation on real tokens: mean cosine of a dropped token to the nearest kept one."""
    here = [row for row in rows if row["retain_ratio"] == ratio]
    taus, body = [tau for tau in _distinct(here, "tau_sim") if tau], []
    for preset in _distinct(here, "preset"):
        found = {row["tau_sim"]: f"{float(row['fidelity_mean']):.3f}" for row in here if row["preset"] == preset}
        body.append([preset, *(found.get(tau, found.get("", "")) for tau in taus)])
    return markdown(["edges and events", *taus], body)


def accuracy(rows: Iterable[Row], ratio: str | None, **setting: str) -> str:
    """Mean over models, and half the mean width of their intervals."""
    here = [row for row in rows if (ratio is None or row["retain_ratio"] == ratio) and matches(row, setting)]
    half = fmean((float(row["accuracy_high"]) - float(row["accuracy_low"])) / 2 for row in here)
    return f"{_mean(here):.1f} ± {100 * half:.1f}"


def difference(row: Row, sure: bool) -> str:
    value, low, high = (100 * float(row[name]) for name in ("difference", "low", "high"))
    text = f"{value:+.1f} [{low:.1f}, {high:.1f}]"
    return f"**{text}**" if sure else text


def _mean(rows: Iterable[Row]) -> float:
    return 100 * fmean(float(row["accuracy"]) for row in rows)


def matches(row: Mapping[str, object], setting: Mapping[str, str]) -> bool:
    """Whether the row is of this setting; numbers are compared as text."""
    return all(str(row[name]) == value for name, value in setting.items())


def _distinct(rows: Iterable[Row], name: str) -> list[str]:
    return list(dict.fromkeys(row[name] for row in rows))


def ratios_of(rows: Iterable[Row]) -> list[str]:
    return sorted({row["retain_ratio"] for row in rows} - {"0.0", "1.0"}, key=float)


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    for title, table in study_tables(Path(sys.argv[1])).items():
        sys.stdout.write(f"## {title}\n\n{table}\n\n")
