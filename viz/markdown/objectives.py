"""The rows of the study of objectives as Markdown tables: the numbers of ``docs/objectives.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stgraph.aliases import Row
from stgraph.multiplicity import holm
from stgraph.viz.markdown.study import LEVEL, accuracy, difference, markdown, matches, ratios_of

NAMES: Mapping[str, str] = {
    "lattice-components": "none (components)",
    "igraph-leiden": "modularity (Leiden)",
    "lattice-leiden": "CPM (Leiden)",
    "igraph-infomap": "map equation (Infomap)",
    "networkit-label-propagation": "label propagation",
    "lattice-segments": "segmentation",
}
_BASE = {"selector": "st-simdiff", "max_size": "sqrt", "importance": "attention"}
_TAUS = (0.8, 0.9)
FILES = ("objectives", "objective-contrasts")


def tables(found: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Tables by name, of the rows of :data:`FILES`."""
    rows, contrasts = (found[name] for name in FILES)
    taus = sorted({row["tau_sim"] for row in rows} - {None})
    return {
        **{f"threshold-{ratio}": threshold_table(rows, taus, ratio) for ratio in ratios_of(rows)},
        "communities": community_table(rows, taus),
        "controls": control_table(rows),
        "rankings": ranking_table(rows),
        "differences": difference_table(contrasts),
    }


def threshold_table(rows: Sequence[Row], taus: Sequence[float], ratio: float) -> str:
    """Accuracy of the paper's method against tau_sim at one ratio, one line per objective, with lines for baselines."""
    body = []
    for backend, name in NAMES.items():
        at = [0.8] * len(taus) if backend == "lattice-segments" else taus
        cells = [accuracy(rows, ratio, **_BASE, backend=backend, tau_sim=tau) for tau in at]
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
        for tau in [0.8] * len(taus) if backend == "lattice-segments" else taus:
            here = [row for row in rows if matches(row, {**_BASE, "backend": backend, "tau_sim": tau})]
            share = sum(row["oversized_ratio"] for row in here) / len(here)
            size = sum(1024 / row["n_uncapped"] for row in here) / len(here)
            cells.append(f"{100 * share:.0f} % ({size:.1f})")
        body.append([name, *cells])
    return markdown(["objective", *map(str, taus)], body)


def control_table(rows: Sequence[Row]) -> str:
    """The effect of size alone: smaller caps on components, shuffled communities, boxes."""
    ratios, body = ratios_of(rows), []
    lines = [("lattice-components", cap) for cap in ("sqrt", "24", "8")] + [("lattice-leiden", "sqrt")]
    lines += [("lattice-leiden", "none"), ("control-shuffled", "sqrt")]
    for tau in _TAUS:
        for backend, cap in lines:
            setting = {**_BASE, "backend": backend, "tau_sim": tau, "max_size": cap}
            body.append([str(tau), f"`{backend}`", cap, *(accuracy(rows, ratio, **setting) for ratio in ratios)])
    for backend in dict.fromkeys(row["backend"] for row in rows if str(row["backend"]).startswith("control-boxes")):
        cells = (accuracy(rows, ratio, **_BASE, backend=backend, tau_sim=0.8) for ratio in ratios)
        body.append(["-", f"`{backend}`", "sqrt", *cells])
    return markdown(["tau_sim", "communities", "cap", *(f"r = {ratio}" for ratio in ratios)], body)


def ranking_table(rows: Sequence[Row]) -> str:
    """Query-free rankings compared with the LLM's attention."""
    ratios, body = ratios_of(rows), []
    for tau in _TAUS:
        for backend in ("lattice-components", "igraph-leiden", "lattice-leiden"):
            for importance in ("difference-then-centrality", "coverage", "attention"):
                setting = {**_BASE, "backend": backend, "tau_sim": tau, "importance": importance}
                cells = (accuracy(rows, ratio, **setting) for ratio in ratios)
                body.append([str(tau), NAMES[backend], importance, *cells])
    return markdown(["tau_sim", "objective", "ranked by", *(f"r = {ratio}" for ratio in ratios)], body)


def difference_table(contrasts: Sequence[Row]) -> str:
    """Paired differences in points with 95 % intervals; bold those beyond chance after Holm's correction over all."""
    base = {**_BASE, "parameters": None}
    found: dict[tuple[str, str], dict[float, Row]] = {}
    for row in contrasts:
        wanted = {**base, "backend": "lattice-components", "tau_sim": row["tau_sim"]}
        if row["contrast"] == "importance":
            wanted["backend"] = row["backend"]
        del wanted[row["contrast"]]
        if row["tau_sim"] in _TAUS and matches(row, wanted):
            label = f"{row['contrast']}: {row['a']} over {row['b']}"
            label += (
                f" ({NAMES[row['backend']]})" if row["contrast"] == "importance" and row["backend"] in NAMES else ""
            )
            found.setdefault((label, str(row["tau_sim"])), {})[row["retain_ratio"]] = row
    flat = [row for line in found.values() for row in line.values()]
    sure = {id(row) for row, p in zip(flat, holm([row["p"] for row in flat]), strict=True) if p <= LEVEL}
    ratios = ratios_of(flat)
    body = [[*labels, *(difference(line[r], id(line[r]) in sure) for r in ratios)] for labels, line in found.items()]
    return markdown(["choice", "tau_sim", *(f"r = {ratio}" for ratio in ratios)], body)
