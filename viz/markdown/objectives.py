"""The rows of the study of objectives as Markdown tables: the numbers of ``docs/objectives.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stgraph.aliases import Row
from stgraph.viz.markdown.study import accuracy, corrected_table, markdown, matches, ratios_of

NAMES: Mapping[str, str] = {
    "lattice-components": "none (components)",
    "igraph-leiden": "modularity (Leiden)",
    "lattice-leiden": "CPM (Leiden)",
    "igraph-infomap": "map equation (Infomap)",
    "networkit-label-propagation": "label propagation",
    "lattice-segments": "segmentation",
}
ALIKE = ("lattice-segments",)  # objectives that read no threshold
BASE = {"selector": "st-simdiff", "max_size": "sqrt", "importance": "attention"}
TAUS = (0.8, 0.9)  # the paper's threshold, and the one chosen on development videos
FILES = ("objectives", "objective-contrasts")


def tables(found: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Tables by name, of the rows of :data:`FILES`."""
    rows, contrasts = (found[name] for name in FILES)
    taus = sorted({row["tau_sim"] for row in rows} - {None})
    return {
        **{f"threshold-{ratio}": threshold_table(rows, taus, ratio) for ratio in ratios_of(rows)},
        "differences": difference_table(contrasts),
        "communities": community_table(rows, taus),
    }


def threshold_table(rows: Sequence[Row], taus: Sequence[float], ratio: float) -> str:
    """Accuracy of the paper's method against tau_sim at one ratio, one line per objective, with lines for baselines."""
    body = []
    for backend, name in NAMES.items():
        at = [0.8] * len(taus) if backend in ALIKE else taus
        cells = [accuracy(rows, ratio, **BASE, backend=backend, tau_sim=tau) for tau in at]
        body.append([name, *cells])
    for name in ("uniform", "random"):
        body.append([name, *[accuracy(rows, ratio, selector=name)] * len(taus)])
    full = [row for row in rows if row["selector"] == "full"]
    body.append(["all tokens", *[accuracy(full, None)] * len(taus)])
    return markdown([f"r = {ratio}", *map(str, taus)], body)


def community_table(rows: Sequence[Row], taus: Sequence[float]) -> str:
    """Share of all tokens in communities above the square root of N, before the cap."""
    body = []
    for backend, name in NAMES.items():
        cells = []
        for tau in [0.8] * len(taus) if backend in ALIKE else taus:
            here = [row for row in rows if matches(row, {**BASE, "backend": backend, "tau_sim": tau})]
            share = sum(row["oversized_ratio"] for row in here) / len(here)
            size = sum(1024 / row["n_uncapped"] for row in here) / len(here)
            cells.append(f"{100 * share:.0f} % ({size:.1f})")
        body.append([name, *cells])
    return markdown(["objective", *map(str, taus)], body)


def difference_table(contrasts: Sequence[Row]) -> str:
    """Paired differences between objectives at one cap, the paper's or 8; Holm's correction over the table."""
    here = [row for row in contrasts if row["contrast"] == "backend" and row["tau_sim"] in TAUS]
    here = [row for row in here if str(row["max_size"]) in ("sqrt", "8") and row["importance"] == BASE["importance"]]
    here.sort(key=lambda row: row["max_size"] != "sqrt")

    def labels(row: Row) -> tuple[str, ...]:
        cap = "√N" if row["max_size"] == "sqrt" else str(row["max_size"])
        return f"`{row['a']}` over `{row['b']}`", cap, str(row["tau_sim"])

    return corrected_table(("backend", "cap", "tau_sim"), here, labels)
