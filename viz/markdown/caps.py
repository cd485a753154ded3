"""Size of communities as Markdown tables, for ``docs/objectives.md``: caps by objective, and what size alone does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import fmean

from stgraph.aliases import Row
from stgraph.viz.markdown.objectives import ALIKE, BASE, NAMES, TAUS
from stgraph.viz.markdown.study import accuracy, corrected_table, markdown, matches, mean_accuracy, ratios_of

CAPS: Mapping[str, str] = {"none": "none", "sqrt": "√N", "24": "24", "8": "8"}
FILES = ("objectives", "objective-contrasts")


def tables(found: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Tables by name, of the rows of :data:`FILES`."""
    rows, contrasts = (found[name] for name in FILES)
    return {
        "ranges": range_table(rows),
        "caps": cap_table(rows),
        "cap-differences": difference_table(contrasts),
        "controls": control_table(rows),
    }


def range_table(rows: Sequence[Row]) -> str:
    """Least and largest accuracy over tau_sim, by objective, cap and ratio."""
    ratios, body = ratios_of(rows), []
    for (backend, name), (cap, shown) in product(NAMES.items(), CAPS.items()):
        setting = {**BASE, "backend": backend, "max_size": cap}
        taus = {row["tau_sim"] for row in rows if matches(row, setting)}
        cells = []
        for ratio in ratios:
            found = [mean_accuracy(rows, ratio, **setting, tau_sim=tau) for tau in taus]
            cells.append(" to ".join(dict.fromkeys(f"{end:.1f}" for end in (min(found), max(found)))))
        body.append([name, shown, *cells])
    return markdown(["objective", "cap", *(f"r = {ratio}" for ratio in ratios)], body)


def cap_table(rows: Sequence[Row]) -> str:
    """Accuracy by objective and cap, at the paper's threshold and at one chosen well."""
    ratios, body = ratios_of(rows), []
    for tau in TAUS:
        for backend, name in NAMES.items():
            if backend in ALIKE and tau != TAUS[0]:
                continue
            for cap, shown in CAPS.items():
                setting = {**BASE, "backend": backend, "tau_sim": tau, "max_size": cap}
                label = "-" if backend in ALIKE else str(tau)
                body.append([label, name, shown, *(accuracy(rows, ratio, **setting) for ratio in ratios)])
    return markdown(["tau_sim", "objective", "cap", *(f"r = {ratio}" for ratio in ratios)], body)


def difference_table(contrasts: Sequence[Row]) -> str:
    """Paired differences of caps from the paper's, with the same objective; Holm's correction over the table."""
    here = [row for row in contrasts if row["contrast"] == "max_size" and row["tau_sim"] in TAUS]

    def labels(row: Row) -> tuple[str, ...]:
        tau = "-" if row["backend"] in ALIKE else str(row["tau_sim"])
        return f"{CAPS[str(row['a'])]} over {CAPS[row['b']]}", NAMES[row["backend"]], tau

    return corrected_table(("cap", "objective", "tau_sim"), here, labels)


def control_table(rows: Sequence[Row]) -> str:
    """The effect of size alone: capped components, shuffled communities, boxes; with the mean size after the cap."""
    lines = [("lattice-components", cap) for cap in ("sqrt", "24", "8")]
    lines += [("lattice-leiden", "sqrt"), ("control-shuffled", "sqrt")]
    boxes = dict.fromkeys(row["backend"] for row in rows if str(row["backend"]).startswith("control-boxes"))
    asked = [(tau, *line) for tau in TAUS for line in lines] + [(0.8, name, "sqrt") for name in boxes]
    ratios, body = ratios_of(rows), []
    for tau, backend, cap in asked:
        setting = {**BASE, "backend": backend, "tau_sim": tau, "max_size": cap}
        size = fmean(1024 / row["n_communities"] for row in rows if matches(row, setting))
        cells = (accuracy(rows, ratio, **setting) for ratio in ratios)
        label = "-" if backend in boxes else str(tau)
        body.append([label, f"`{backend}`", CAPS[cap], f"{size:.1f}", *cells])
    return markdown(["tau_sim", "communities", "cap", "mean size", *(f"r = {ratio}" for ratio in ratios)], body)
