"""The clustering study behind ``stgraph probe --study DIR`` and ``make study``.

Thresholds are chosen on the dev videos, everything else is measured on the test videos, with every model. The rows go
into separate files, from which later runs resume; ``docs/what-clustering-changes.md`` is written from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from stgraph.aliases import Progress
from stgraph.bench.probe.contrasts import against, contrast
from stgraph.bench.probe.densities import study_densities
from stgraph.bench.probe.features import probe_statistics, sample_statistics
from stgraph.bench.probe.objectives import study_objectives
from stgraph.bench.probe.plan import FEATURES, ProbePlan, ProbeSetting
from stgraph.bench.probe.presets import DEFAULT_BACKENDS, DEFAULT_SELECTORS
from stgraph.bench.probe.rankings import study_rankings
from stgraph.bench.probe.rows import ProbeRows
from stgraph.bench.probe.run import run
from stgraph.bench.probe.weights import model_names
from stgraph.bench.tables.table import Row
from stgraph.bench.tables.writing import write
from stgraph.selection.st_simdiff.presets import ABLATION, ablation

TAU_SIMS = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
RATIOS = (0.05, 0.1, 0.3, 0.5)
RESUMED = ("dev.csv", "test.csv", "objectives.csv", "rankings-dev.csv", "densities.csv")  # files a run resumes from
_COMPONENTS, _, _LEIDEN = DEFAULT_BACKENDS
_BASE: Mapping[str, Any] = {"importance": "attention"}


def threshold_settings() -> Iterator[ProbeSetting]:
    """Candidates for the similarity threshold: the paper's method, for each kind of features."""
    for features, tau_sim in product(FEATURES, TAU_SIMS):
        yield ProbeSetting("st-simdiff", {**_BASE, "tau_sim": tau_sim}, features)


def chosen_thresholds(rows: Sequence[Row]) -> dict[str, float]:
    """Features -> the tau_sim of the highest accuracy on dev, mean over models and ratios; of equals the lowest."""
    mean: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        if row["tau_sim"] is not None:
            mean.setdefault((row["features"], row["tau_sim"]), []).append(row["accuracy"])
    best = sorted(mean, key=lambda key: (-fmean(mean[key]), key[1]))
    return {features: next(tau for kind, tau in best if kind == features) for features in FEATURES}


def study_settings(tau: Mapping[str, float]) -> tuple[ProbeSetting, ...]:
    """Everything the study compares; ``tau`` are the thresholds chosen on dev."""
    found: list[ProbeSetting] = [ProbeSetting(name) for name in DEFAULT_SELECTORS if name != "st-simdiff"]
    for setting in (
        *_backends_and_cap(tau),
        *_splitters(tau),
        *_thresholds(),
        *_features(tau),
        *_edges_and_events(tau),
        *_reductions(tau),
    ):
        if setting not in found:
            found.append(setting)
    # Settings of the same communities next to each other: these are then computed once.
    fixed = found[: len(DEFAULT_SELECTORS) - 1]
    return (*fixed, *sorted(found[len(fixed) :], key=_communities))


def _communities(setting: ProbeSetting) -> tuple[str, ...]:
    names = ("backend", "split", "max_size", "tau_sim", "spatial", "temporal")
    return (setting.features, *(str(setting.parameters.get(name)) for name in names))


def _taus(tau: Mapping[str, float]) -> tuple[float, ...]:
    """The paper's threshold and the one chosen on dev."""
    return tuple(dict.fromkeys((0.8, tau["projector"])))


def _backends_and_cap(tau: Mapping[str, float]) -> Iterator[ProbeSetting]:
    for backend, tau_sim, max_size, events in product(DEFAULT_BACKENDS, _taus(tau), ("sqrt", None), (True, False)):
        yield _setting(backend=backend, tau_sim=tau_sim, max_size=max_size, events=events)


def _splitters(tau: Mapping[str, float]) -> Iterator[ProbeSetting]:
    for backend, tau_sim, split in product((_COMPONENTS, _LEIDEN), _taus(tau), ("tree", "raster", "redetect")):
        yield _setting(backend=backend, tau_sim=tau_sim, split=split)


def _thresholds() -> Iterator[ProbeSetting]:
    for backend, tau_sim in product((_COMPONENTS, _LEIDEN), TAU_SIMS):
        yield _setting(backend=backend, tau_sim=tau_sim)
    for tau_diff in (0.1, 0.3, 0.4, "p90", "p95"):
        yield _setting(tau_diff=tau_diff)


def _features(tau: Mapping[str, float]) -> Iterator[ProbeSetting]:
    for features, backend in product(FEATURES, (_COMPONENTS, _LEIDEN)):
        for tau_sim in dict.fromkeys((0.8, tau[features])):
            yield _setting(features, backend=backend, tau_sim=tau_sim)


def _edges_and_events(tau: Mapping[str, float]) -> Iterator[ProbeSetting]:
    for tau_sim, row in product(_taus(tau), ABLATION):
        yield _setting(tau_sim=tau_sim, **ablation(row))


def _reductions(tau: Mapping[str, float]) -> Iterator[ProbeSetting]:
    rankings = ("attention", "difference-then-centrality", "centrality")
    for backend, tau_sim in product((_COMPONENTS, _LEIDEN), _taus(tau)):
        for importance, protect_events in product(rankings, (False, True)):
            yield _setting(backend=backend, tau_sim=tau_sim, importance=importance, protect_events=protect_events)


def _setting(features: str = "projector", **parameters: Any) -> ProbeSetting:
    """Of st-simdiff, every axis of the study written out, so that equal settings are one."""
    written = {
        "backend": _COMPONENTS,
        "split": "tree",
        "max_size": "sqrt",
        "tau_sim": 0.8,
        "tau_diff": 0.2,
        "spatial": True,
        "temporal": True,
        "events": True,
        "protect_events": False,
        **_BASE,
    }
    return ProbeSetting("st-simdiff", {**written, **parameters}, features)


# Comparisons of the study: (column, one value, the other).
QUESTIONS: tuple[tuple[str, Any, Any], ...] = (
    ("backend", "igraph-louvain", _COMPONENTS),
    ("backend", "igraph-leiden", _COMPONENTS),
    ("backend", "igraph-leiden", "igraph-louvain"),
    ("max_size", "sqrt", "none"),
    ("split", "raster", "tree"),
    ("split", "redetect", "tree"),
    ("features", "projector-centred", "projector"),
    ("features", "encoder", "projector"),
    ("events", True, False),
    ("spatial", True, False),
    ("temporal", True, False),
    ("protect_events", True, False),
    ("importance", "attention", "difference-then-centrality"),
    ("importance", "attention", "centrality"),
    *(("tau_sim", tau, 0.8) for tau in TAU_SIMS if tau != 0.8),
    *(("tau_diff", tau, "0.2") for tau in ("0.1", "0.3", "0.4", "p90", "p95")),
)


def study(out: Path, n_questions: int, progress: Progress | None = None, *, restart: bool = False) -> list[Path]:
    """Run everything, with every model, and return the files written.

    Parameters
    ----------
    out : folder; rows that are there already are not computed again
    n_questions : fewest questions on dev videos, and on test videos; the studies of objectives, rankings and
        densities ask at most as many
    progress : called with a label and the share of the work done, on dev, on test, and in each further study
    restart : delete the rows of earlier runs first
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in RESUMED if restart else ():
        (out / name).unlink(missing_ok=True)
    common: dict[str, Any] = {"models": model_names(), "retain_ratios": RATIOS, "n_questions": n_questions}
    dev = run(
        ProbePlan(settings=tuple(threshold_settings()), videos="dev", **common), ProbeRows(out / "dev.csv"), progress
    )
    tau = chosen_thresholds(dev)
    test = run(ProbePlan(settings=study_settings(tau), videos="test", **common), ProbeRows(out / "test.csv"), progress)
    found = [row for question in QUESTIONS for row in contrast(test, *question)]
    found += [row for name in ("random", "full") for row in against(test, name)]
    features = [row for model in model_names() for row in probe_statistics(model, FEATURES)]
    chosen = [{"features": features, "tau_sim": value} for features, value in tau.items()]
    written = write(out / "contrasts.csv", {"rows": found}, "csv")
    written += write(out / "thresholds.csv", {"rows": chosen}, "csv")
    written += write(out / "features.csv", {"rows": [*features, sample_statistics()]}, "csv")
    for part in (study_objectives, study_rankings, study_densities):
        written += part(out, progress, n_questions)
    return [out / "dev.csv", out / "test.csv", *written]
