"""What the objective of community detection changes: objective x threshold x cap x ratio, with controls of size.

The second half of ``make study``; ``docs/objectives.md`` is written from its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from stgraph.aliases import Progress
from stgraph.bench.probe.contrasts import contrasts_of_all
from stgraph.bench.probe.controls import register_controls
from stgraph.bench.probe.plan import ProbePlan, ProbeSetting
from stgraph.bench.probe.rows import ProbeRows
from stgraph.bench.probe.run import run
from stgraph.bench.probe.weights import model_names
from stgraph.bench.tables.writing import write
from stgraph.selection.st_simdiff.paper import StSimDiff

TAU_SIMS = (0.6, 0.7, 0.8, 0.9, 0.95)
RATIOS = (0.05, 0.1, 0.2, 0.3, 0.5)
CAPS = ("sqrt", None, 24, 8)  # the paper's first
N_QUESTIONS = 600  # of each model
COMPONENTS, MODULARITY, CPM = "lattice-components", "igraph-leiden", "lattice-leiden"
# One backend per objective; segmentation has no threshold.
OBJECTIVES = (COMPONENTS, MODULARITY, CPM, "igraph-infomap", "networkit-label-propagation")
SEGMENTS = "lattice-segments"
RANKINGS = ("difference-then-centrality", "coverage")


def objective_settings() -> tuple[ProbeSetting, ...]:
    """Everything the study of objectives compares, settings of the same communities next to each other."""
    found = [ProbeSetting("random"), ProbeSetting("uniform")]
    found += [one for one in (*_objectives(), *_controls(), *_rankings())]
    return tuple(dict((str(one), one) for one in found).values())


def _objectives() -> Iterator[ProbeSetting]:
    for backend, tau_sim, max_size in product(OBJECTIVES, TAU_SIMS, CAPS):
        yield _setting(backend, tau_sim, max_size=max_size)
    for max_size in CAPS:
        yield _setting(SEGMENTS, 0.8, max_size=max_size)


def _controls() -> Iterator[ProbeSetting]:
    shuffled, *boxes = register_controls()
    for tau_sim in (0.8, 0.9):
        yield _setting(shuffled, tau_sim)
    for name in boxes:
        yield _setting(name, 0.8)


def _rankings() -> Iterator[ProbeSetting]:
    for backend, tau_sim, importance in product((COMPONENTS, MODULARITY, CPM), (0.8, 0.9), RANKINGS):
        yield _setting(backend, tau_sim, importance=importance)
    for importance in RANKINGS:
        yield _setting(SEGMENTS, 0.8, importance=importance)


def _setting(backend: str, tau_sim: float, **parameters: Any) -> ProbeSetting:
    given = {"backend": backend, "tau_sim": tau_sim, "max_size": "sqrt", "importance": "attention"}
    return ProbeSetting(StSimDiff.name, {**given, **parameters})


# Comparisons of the study: (column, one value, the other).
QUESTIONS: tuple[tuple[str, Any, Any], ...] = (
    *(("backend", backend, COMPONENTS) for backend in (*OBJECTIVES[1:], SEGMENTS)),
    ("backend", CPM, MODULARITY),
    ("backend", CPM, "control-shuffled"),
    *(("max_size", str(cap or "none"), CAPS[0]) for cap in CAPS[1:]),
    ("importance", "coverage", "difference-then-centrality"),
)


def study_objectives(out: Path, progress: Progress | None = None, most: int = N_QUESTIONS) -> list[Path]:
    """Run everything, with every model, and return the files written.

    Parameters
    ----------
    out : folder; rows that are there already are not computed again
    progress : called with a label and the share of the work done
    most : questions, where these are fewer than :data:`N_QUESTIONS`
    """
    out.mkdir(parents=True, exist_ok=True)
    common: dict[str, Any] = {"models": model_names(), "retain_ratios": RATIOS}
    plan = ProbePlan(settings=objective_settings(), n_questions=min(N_QUESTIONS, most), **common)
    rows = run(plan, ProbeRows(out / "objectives.csv"), progress)
    found = contrasts_of_all(rows, *QUESTIONS)
    return [out / "objectives.csv", *write(out / "objective-contrasts.csv", {"rows": found}, "csv")]
