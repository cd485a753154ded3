"""The rows of the threshold curve on real features as Markdown tables, for ``docs/what-clustering-changes.md``.

``python -m stgraph.viz.markdown.real_features DIR`` prints them; a test holds the page against the rows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stgraph.viz.markdown.objectives import NAMES
from stgraph.viz.markdown.study import Row, markdown, read

KINDS: Mapping[str, str] = {
    "sample.safetensors": "vision transformer",
    "patches.safetensors": "patch descriptors",
    "efficientnet.safetensors": "convolutional network",
}
RANKINGS = ("difference-then-centrality", "coverage")


def real_feature_tables(folder: Path) -> dict[str, str]:
    """Tables by name, of the file that ``make study`` writes."""
    rows = read(folder / "real-features.csv")
    return {
        "real-curve-0.3": curve_table(rows, "0.3", RANKINGS[0]),
        "real-curve-0.1": curve_table(rows, "0.1", RANKINGS[1]),
        "real-spread": spread_table(rows),
    }


def curve(rows: Sequence[Row], kind: str, backend: str, ratio: str, importance: str) -> dict[float, float]:
    """tau_sim -> fidelity of one objective on one kind of features."""
    wanted = {"dump": kind, "backend": backend, "retain_ratio": ratio, "importance": importance}
    here = [row for row in rows if all(str(row[name]) == value for name, value in wanted.items())]
    return {float(row["tau_sim"]): float(row["fidelity_mean"]) for row in here}


def curve_table(rows: Sequence[Row], ratio: str, importance: str) -> str:
    """Fidelity against tau_sim, a line per kind of features and objective."""
    taus = sorted({float(row["tau_sim"]) for row in rows})
    body = []
    for kind, name in KINDS.items():
        for backend, objective in NAMES.items():
            found = curve(rows, kind, backend, ratio, importance)
            body.append([name, objective, *(f"{found[tau]:.3f}" for tau in taus)])
    return markdown(["features", f"r = {ratio}", *(f"{tau:g}" for tau in taus)], body)


def spread_table(rows: Sequence[Row]) -> str:
    """Largest less smallest fidelity over the thresholds: what a badly chosen threshold can cost."""
    columns = [(importance, ratio) for importance in RANKINGS for ratio in ("0.1", "0.3")]
    body = []
    for kind, name in KINDS.items():
        for backend, objective in NAMES.items():
            spreads = []
            for importance, ratio in columns:
                values = curve(rows, kind, backend, ratio, importance).values()
                spreads.append(f"{max(values) - min(values):.3f}")
            body.append([name, objective, *spreads])
    return markdown(["features", "objective", *(f"{name}, r = {ratio}" for name, ratio in columns)], body)


if __name__ == "__main__":
    for title, table in real_feature_tables(Path(sys.argv[1])).items():
        sys.stdout.write(f"## {title}\n\n{table}\n\n")
