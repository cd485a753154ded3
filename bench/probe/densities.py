"""The density that communities must have: CPM's resolution on the development videos, beside the densities of surprise
and significance, which need none.

A part of ``make study``; ``docs/objectives.md`` has the tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from stgraph.aliases import Progress
from stgraph.bench.probe.contrasts import contrasts_of_all
from stgraph.bench.probe.plan import ProbePlan, ProbeSetting
from stgraph.bench.probe.rows import ProbeRows
from stgraph.bench.probe.run import run
from stgraph.bench.probe.weights import model_names
from stgraph.bench.tables.writing import write
from stgraph.selection.st_simdiff.paper import StSimDiff

CPM = "lattice-leiden"
WITHOUT_RESOLUTION = ("leidenalg-leiden-surprise", "leidenalg-leiden-significance")
RESOLUTIONS = (0.01, 0.02, None, 0.1, 0.2, 0.5)  # None: the default
TAU_SIMS = (0.6, 0.8, 0.9)
RATIOS = (0.1, 0.3)
N_QUESTIONS = 600  # of each model


def density_settings() -> Iterator[ProbeSetting]:
    """CPM at each resolution, and what has none, at each threshold."""
    for tau_sim, resolution in product(TAU_SIMS, RESOLUTIONS):
        yield _setting(CPM, tau_sim, **({} if resolution is None else {"resolution": resolution}))
    for tau_sim, backend in product(TAU_SIMS, WITHOUT_RESOLUTION):
        yield _setting(backend, tau_sim)


def _setting(backend: str, tau_sim: float, **parameters: float) -> ProbeSetting:
    given = {"backend": backend, "tau_sim": tau_sim, "importance": "attention", **parameters}
    return ProbeSetting(StSimDiff.name, given)


def study_densities(out: Path, progress: Progress | None = None, most: int = N_QUESTIONS) -> list[Path]:
    """Run everything on the development videos, with every model, and return the files written.

    Parameters
    ----------
    out : folder; rows that are there already are not computed again
    progress : called with a label and the share of the work done
    most : questions, where these are fewer than :data:`N_QUESTIONS`
    """
    out.mkdir(parents=True, exist_ok=True)
    plan = ProbePlan(
        settings=tuple(density_settings()),
        models=model_names(),
        retain_ratios=RATIOS,
        videos="dev",
        n_questions=min(N_QUESTIONS, most),
    )
    rows = run(plan, ProbeRows(out / "densities.csv"), progress)
    asked: list[tuple[str, Any, Any]] = [("backend", name, CPM) for name in WITHOUT_RESOLUTION]
    asked += [("parameters", json.dumps({"resolution": one}), None) for one in RESOLUTIONS if one is not None]
    found = contrasts_of_all(rows, *asked)
    return [out / "densities.csv", *write(out / "density-contrasts.csv", {"rows": found}, "csv")]
