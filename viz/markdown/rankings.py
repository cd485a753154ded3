"""The rows of the offline ranking's choice as Markdown tables: the last tables of ``docs/objectives.md``.

``python -m stgraph.viz.markdown.rankings DIR`` prints them; a test holds the page against the rows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from stgraph.multiplicity import holm
from stgraph.viz.markdown.objectives import NAMES
from stgraph.viz.markdown.study import LEVEL, Row, difference, markdown, ratios_of, read

_BACKENDS = ("lattice-components", "igraph-leiden", "lattice-leiden")


def choice_tables(folder: Path) -> dict[str, str]:
    """Tables by name, of the files that ``make study`` writes."""
    return {
        "ranking-differences": difference_table(read(folder / "ranking-contrasts.csv")),
        "ranking-fidelity": fidelity_table(read(folder / "ranking-fidelity.csv")),
    }


def difference_table(contrasts: Sequence[Row]) -> str:
    """Coverage less difference-then-centrality in points; bold beyond chance after Holm's correction over the table."""
    sure = [p <= LEVEL for p in holm([float(row["p"]) for row in contrasts])]
    lines: dict[tuple[str, str], list[str]] = {}
    for row, known in zip(contrasts, sure, strict=True):
        lines.setdefault((NAMES[row["backend"]], row["tau_sim"]), []).append(difference(row, known))
    head = ["communities", "tau_sim", *(f"r = {ratio}" for ratio in ratios_of(contrasts))]
    return markdown(head, [[*labels, *cells] for labels, cells in lines.items()])


def fidelity_table(rows: Sequence[Row]) -> str:
    """Fidelity under either ranking: mean over the models' features of the development videos, and the sample's."""
    kinds = {"development videos": lambda row: row["features"] != "sample", "bundled sample": _is_sample}
    ratios, body = ratios_of(rows), []
    for kind, belongs in kinds.items():
        for backend in _BACKENDS:
            for importance in ("difference-then-centrality", "coverage"):
                here = [row for row in rows if belongs(row) and row["tau_sim"] == "0.8"]
                here = [row for row in here if (row["backend"], row["importance"]) == (backend, importance)]
                cells = (_mean(here, ratio) for ratio in ratios)
                body.append([kind, NAMES[backend], importance, *cells])
    return markdown(["tokens", "communities", "ranked by", *(f"r = {ratio}" for ratio in ratios)], body)


def _is_sample(row: Row) -> bool:
    return row["features"] == "sample"


def _mean(rows: Sequence[Row], ratio: str) -> str:
    return f"{fmean(float(row['fidelity_mean']) for row in rows if row['retain_ratio'] == ratio):.3f}"


if __name__ == "__main__":
    for title, table in choice_tables(Path(sys.argv[1])).items():
        sys.stdout.write(f"## {title}\n\n{table}\n\n")
