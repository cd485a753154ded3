"""The rows of the threshold curve on real features as Markdown tables, for ``docs/what-clustering-changes.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stgraph.aliases import Row
from stgraph.viz.markdown.objectives import NAMES
from stgraph.viz.markdown.study import markdown, matches

KINDS: Mapping[str, str] = {
    "sample.safetensors": "vision transformer",
    "patches.safetensors": "patch descriptors",
    "efficientnet.safetensors": "convolutional network",
}
FILES = ("real-features",)
RANKINGS = ("difference-then-centrality", "coverage")


def tables(found: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Tables by name, of the rows of :data:`FILES`."""
    (rows,) = (found[name] for name in FILES)
    return {
        "real-curve-0.3": curve_table(rows, 0.3, RANKINGS[0]),
        "real-curve-0.1": curve_table(rows, 0.1, RANKINGS[1]),
        "real-spread": spread_table(rows),
    }


def curve(rows: Sequence[Row], kind: str, backend: str, ratio: float, importance: str) -> dict[float, float]:
    """tau_sim -> fidelity of one objective on one kind of features."""
    wanted = {"dump": kind, "backend": backend, "retain_ratio": ratio, "importance": importance}
    return {row["tau_sim"]: row["fidelity_mean"] for row in rows if matches(row, wanted)}


def curve_table(rows: Sequence[Row], ratio: float, importance: str) -> str:
    """Fidelity against tau_sim, one line per kind of features and objective."""
    taus = sorted({row["tau_sim"] for row in rows})
    body = []
    for kind, name in KINDS.items():
        for backend, objective in NAMES.items():
            found = curve(rows, kind, backend, ratio, importance)
            body.append([name, objective, *(f"{found[tau]:.3f}" for tau in taus)])
    return markdown(["features", f"r = {ratio}", *(f"{tau:g}" for tau in taus)], body)


def spread_table(rows: Sequence[Row]) -> str:
    """Largest minus smallest fidelity over the thresholds: the cost of a badly chosen threshold."""
    columns = [(importance, ratio) for importance in RANKINGS for ratio in (0.1, 0.3)]
    body = []
    for kind, name in KINDS.items():
        for backend, objective in NAMES.items():
            spreads = []
            for importance, ratio in columns:
                values = curve(rows, kind, backend, ratio, importance).values()
                spreads.append(f"{max(values) - min(values):.3f}")
            body.append([name, objective, *spreads])
    return markdown(["features", "objective", *(f"{name}, r = {ratio}" for name, ratio in columns)], body)
