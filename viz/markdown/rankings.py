"""The rows of the offline ranking's choice as Markdown tables: the last tables of ``docs/objectives.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from stgraph.aliases import Row
from stgraph.multiplicity import holm
from stgraph.viz.markdown.objectives import NAMES
from stgraph.viz.markdown.study import LEVEL, difference, markdown, ratios_of

_BACKENDS = ("lattice-components", "igraph-leiden", "lattice-leiden")
FILES = ("ranking-contrasts", "ranking-fidelity")


def tables(rows: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Tables by name, of the rows of :data:`FILES`."""
    contrasts, fidelity = (rows[name] for name in FILES)
    return {"ranking-differences": difference_table(contrasts), "ranking-fidelity": fidelity_table(fidelity)}


def difference_table(contrasts: Sequence[Row]) -> str:
    """Coverage less difference-then-centrality in points; bold beyond chance after Holm's correction over the table."""
    sure = [p <= LEVEL for p in holm([row["p"] for row in contrasts])]
    lines: dict[tuple[str, str], list[str]] = {}
    for row, known in zip(contrasts, sure, strict=True):
        lines.setdefault((NAMES[row["backend"]], str(row["tau_sim"])), []).append(difference(row, known))
    head = ["communities", "tau_sim", *(f"r = {ratio}" for ratio in ratios_of(contrasts))]
    return markdown(head, [[*labels, *cells] for labels, cells in lines.items()])


def fidelity_table(rows: Sequence[Row]) -> str:
    """Fidelity under either ranking: mean over the models' features of the development videos, and the sample's."""
    ratios, body = ratios_of(rows), []
    for kind, of_sample in (("development videos", False), ("bundled sample", True)):
        for backend in _BACKENDS:
            for importance in ("difference-then-centrality", "coverage"):
                here = [row for row in rows if (row["features"] == "sample") == of_sample and row["tau_sim"] == 0.8]
                here = [row for row in here if (row["backend"], row["importance"]) == (backend, importance)]
                cells = (_mean(here, ratio) for ratio in ratios)
                body.append([kind, NAMES[backend], importance, *cells])
    return markdown(["tokens", "communities", "ranked by", *(f"r = {ratio}" for ratio in ratios)], body)


def _mean(rows: Sequence[Row], ratio: float) -> str:
    return f"{fmean(row['fidelity_mean'] for row in rows if row['retain_ratio'] == ratio):.3f}"
