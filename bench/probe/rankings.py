"""The ranking of surplus candidates without attention, chosen on the development videos.

The rule was written down before the rows were computed. "coverage" replaces "difference-then-centrality" as the default
if, over communities of three objectives, two thresholds and every ratio:

1. nowhere is its accuracy lower beyond chance (5 %, Holm's correction over all differences);
2. with the default's communities, it is higher beyond chance at one ratio or more;
3. with the default's communities, its mean fidelity is lower at no ratio.

A part of ``make study``; ``docs/objectives.md`` has the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from stgraph.aliases import Progress
from stgraph.bench.fidelity import mean_and_p5, nearest_kept
from stgraph.bench.probe.contrasts import contrasts_of_all
from stgraph.bench.probe.plan import ProbePlan, ProbeSetting
from stgraph.bench.probe.presets import DEFAULT_RATIOS
from stgraph.bench.probe.rows import ProbeRows
from stgraph.bench.probe.run import run
from stgraph.bench.probe.weights import asked_families, load_model, model_names
from stgraph.bench.tables.table import Row
from stgraph.bench.tables.writing import write
from stgraph.community.default_backend import DEFAULT_BACKEND
from stgraph.multiplicity import holm
from stgraph.selection.keeping import Keeping
from stgraph.selection.st_simdiff.paper import StSimDiff
from stgraph.tokens import VideoTokens

FORMER, CANDIDATE = "difference-then-centrality", "coverage"
BACKENDS = (DEFAULT_BACKEND, "igraph-leiden", "lattice-leiden")
TAU_SIMS = (0.8, 0.9)
N_QUESTIONS = 1000  # of each model
LEVEL = 0.05


def ranking_settings() -> Iterator[ProbeSetting]:
    """Both rankings on the same communities, next to each other."""
    for backend, tau_sim, importance in product(BACKENDS, TAU_SIMS, (FORMER, CANDIDATE)):
        yield ProbeSetting(StSimDiff.name, {"backend": backend, "tau_sim": tau_sim, "importance": importance})


def chosen_ranking(contrasts: Sequence[Row], fidelity: Sequence[Row]) -> str:
    """The ranking that the rule gives.

    Parameters
    ----------
    contrasts : differences of :data:`CANDIDATE` from :data:`FORMER`, over all questions
    fidelity : of :func:`fidelity_rows`
    """
    sure = [p <= LEVEL for p in holm([row["p"] for row in contrasts])]
    gains = [row["difference"] for row in contrasts]
    default = [row["backend"] == DEFAULT_BACKEND and row["tau_sim"] == StSimDiff.tau_sim for row in contrasts]
    worse = any(known and gain < 0 for known, gain in zip(sure, gains, strict=True))
    better = any(known and gain > 0 and own for known, gain, own in zip(sure, gains, default, strict=True))
    mean: dict[tuple[float, str], list[float]] = {}
    for row in fidelity:
        if row["features"] != "sample" and row["backend"] == DEFAULT_BACKEND and row["tau_sim"] == 0.8:
            mean.setdefault((row["retain_ratio"], row["importance"]), []).append(row["fidelity_mean"])
    kept = all(np.mean(mean[r, CANDIDATE]) >= np.mean(mean[r, FORMER]) for r in {r for r, _ in mean})
    return CANDIDATE if better and not worse and kept else FORMER


def fidelity_rows(name: str, videos: Sequence[VideoTokens]) -> list[Row]:
    """Fidelity of every setting at every ratio, means over videos: the cosine of a dropped token to the nearest kept
    one (``fidelity_mean``), and its 5th percentile (``fidelity_p5``)."""
    points = list(product(ranking_settings(), DEFAULT_RATIOS))
    sums = np.zeros((len(points), 2))
    for video in videos:
        keeping = Keeping(video)
        masks = [keeping.at(setting, ratio).mask for setting, ratio in points]
        near = nearest_kept(video, keeping.graph.norms, masks)
        sums += np.array([mean_and_p5(one, ~mask) for one, mask in zip(near, masks, strict=True)], np.float64)
    return [
        {
            "features": name,
            "n_videos": len(videos),
            **setting.parameters,
            "retain_ratio": ratio,
            "fidelity_mean": float(mean),
            "fidelity_p5": float(low),
        }
        for (setting, ratio), (mean, low) in zip(points, sums / len(videos), strict=True)
    ]


def study_rankings(out: Path, progress: Progress | None = None, most: int = N_QUESTIONS) -> list[Path]:
    """Run everything on the development videos, with every model, and return the files written.

    Parameters
    ----------
    out : folder; rows of the probe that are there already are not computed again
    progress : called with a label and the share of the work done
    most : questions, where these are fewer than :data:`N_QUESTIONS`
    """
    import stgraph
    from stgraph.bench.probe.exam import Exam, make_clips

    out.mkdir(parents=True, exist_ok=True)
    common: dict[str, Any] = {"models": model_names(), "retain_ratios": DEFAULT_RATIOS, "videos": "dev"}
    plan = ProbePlan(settings=tuple(ranking_settings()), n_questions=min(N_QUESTIONS, most), **common)
    rows = run(plan, ProbeRows(out / "rankings-dev.csv"), progress)
    found = contrasts_of_all(rows, ("importance", CANDIDATE, FORMER))
    fidelity = fidelity_rows("sample", [stgraph.sample()])
    for name in model_names():
        model = load_model(name)
        exam = Exam(model, make_clips(model.visual, "dev", plan.n_videos, asked_families()))
        fidelity += fidelity_rows(name, exam.tokens("projector"))
    written = write(out / "ranking-contrasts.csv", {"rows": found}, "csv")
    written += write(out / "ranking-fidelity.csv", {"rows": fidelity}, "csv")
    return [out / "rankings-dev.csv", *written]
