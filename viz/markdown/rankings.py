"""Rankings of surplus candidates as Markdown tables, for ``docs/objectives.md``: on the test videos, then the choice of
the offline default on the development videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from stgraph.aliases import Row
from stgraph.viz.markdown.objectives import ALIKE, BASE, NAMES, TAUS
from stgraph.viz.markdown.study import accuracy, corrected_table, markdown, ratios_of

_BACKENDS = ("lattice-components", "igraph-leiden", "lattice-leiden")
_OFFLINE = ("difference-then-centrality", "coverage")
FILES = ("objectives", "objective-contrasts", "ranking-contrasts", "ranking-fidelity")


def tables(rows: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Tables by name, of the rows of :data:`FILES`."""
    test, test_contrasts, contrasts, fidelity = (rows[name] for name in FILES)
    return {
        "rankings": ranking_table(test),
        "coverage-differences": difference_table([row for row in test_contrasts if row["contrast"] == "importance"]),
        "ranking-differences": difference_table(contrasts),
        "ranking-fidelity": fidelity_table(fidelity),
    }


def ranking_table(rows: Sequence[Row]) -> str:
    """Query-free rankings compared with the LLM's attention."""
    ratios, body = ratios_of(rows), []
    for tau in TAUS:
        for backend in _BACKENDS:
            for importance in (*_OFFLINE, "attention"):
                setting = {**BASE, "backend": backend, "tau_sim": tau, "importance": importance}
                cells = (accuracy(rows, ratio, **setting) for ratio in ratios)
                body.append([str(tau), NAMES[backend], importance, *cells])
    return markdown(["tau_sim", "objective", "ranked by", *(f"r = {ratio}" for ratio in ratios)], body)


def difference_table(contrasts: Sequence[Row]) -> str:
    """Coverage less difference-then-centrality in points; Holm's correction over the table."""

    def labels(row: Row) -> tuple[str, ...]:
        return NAMES[row["backend"]], "-" if row["backend"] in ALIKE else str(row["tau_sim"])

    return corrected_table(("communities", "tau_sim"), contrasts, labels)


def fidelity_table(rows: Sequence[Row]) -> str:
    """Fidelity under either ranking: mean over the models' features of the development videos, and the sample's."""
    ratios, body = ratios_of(rows), []
    for kind, of_sample in (("development videos", False), ("bundled sample", True)):
        for backend in _BACKENDS:
            for importance in _OFFLINE:
                here = [row for row in rows if (row["features"] == "sample") == of_sample and row["tau_sim"] == 0.8]
                here = [row for row in here if (row["backend"], row["importance"]) == (backend, importance)]
                cells = (_mean(here, ratio) for ratio in ratios)
                body.append([kind, NAMES[backend], importance, *cells])
    return markdown(["tokens", "communities", "ranked by", *(f"r = {ratio}" for ratio in ratios)], body)


def _mean(rows: Sequence[Row], ratio: float) -> str:
    return f"{fmean(row['fidelity_mean'] for row in rows if row['retain_ratio'] == ratio):.3f}"
