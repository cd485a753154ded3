"""``stgraph probe``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results
from stgraph.cli.method_options import COMMUNITIES, REDUCTION, takes_method

EXAMPLES = """
stgraph probe -o rows.csv
stgraph probe -s st-simdiff -b igraph-leiden -b lattice-components --split tree --split raster
stgraph probe --preset table-3
stgraph probe -s all --weights vit-4 -o all-selectors.csv
"""


@takes_method(
    *COMMUNITIES,
    *REDUCTION,
    "param",
    repeatable={
        "selector": "eight",
        "retain_ratio": "0.05 to 0.5",
        "backend": "components, Louvain and Leiden",
        "split": "tree",
    },
)
def command(
    paper: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="The paper's ablation or sweep beside the published figures: table-3, table-5, figure-5-tau-sim, "
            "figure-5-tau-diff, figure-6-tau-sim, figure-6-tau-diff.",
        ),
    ] = None,
    n_questions: Annotated[
        int | None, typer.Option("--questions", help="Minimum number of questions.  [default: 2000]", min=1)
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--features",
            help="Features to build the graph on; repeatable: projector, projector-centred, encoder.  "
            "[default: projector]",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            help="Model; repeatable: dropped-1, dropped-2, whole-3 (all: these three, the study's); vit-4, whose "
            "vision encoder has attention.  [default: dropped-1]",
        ),
    ] = None,
    videos: Annotated[
        str | None, typer.Option("--videos", help="test, or dev for choosing thresholds.  [default: test]")
    ] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="Run the whole clustering study, writing to this folder.")
    ] = None,
    output: options.RowFile = None,
    restart: options.Restart = False,
    fmt: options.RowFormat = None,
    quiet: options.Quiet = False,
    *,
    method: dict[str, Any],
) -> None:
    """Measure how selectors affect answers: a tiny video VLM answers questions about procedural videos.

    An interrupted run resumes. Method options go to the selectors that accept them. Needs torch.
    """
    if study is None:
        asked = {"n_questions": n_questions, "videos": videos, "models": tuple(weights or ())}
        _probe(paper, asked, features, method, output=output, fmt=fmt, restart=restart, quiet=quiet)
        return
    named = {"preset": paper, "features": features, "weights": weights, "videos": videos, **method}
    _refuse({**named, "output": output, "format": fmt}, "--study has its own")
    _study(study, n_questions or 2000, restart, quiet)


def _probe(
    paper: str | None,
    asked: dict[str, Any],
    features: list[str] | None,
    method: dict[str, Any],
    *,
    output: Path | None,
    fmt: str | None,
    restart: bool,
    quiet: bool,
) -> None:
    """Run the probe, write the rows, and show their summary."""
    _check_torch()
    from stgraph.bench.probe.contrasts import against
    from stgraph.bench.probe.features import probe_statistics, sample_statistics
    from stgraph.bench.probe.presets import preset
    from stgraph.bench.probe.rows import ProbeRows
    from stgraph.bench.probe.run import run
    from stgraph.bench.probe.words import CHANCE
    from stgraph.viz.terminal.probe import paper_table, probe_tables

    chosen = results.check_row_file(output, fmt, restart)
    named = None if paper is None else preset(paper)
    plan = _plan(named, {name: value for name, value in asked.items() if value}, features, method)
    store = ProbeRows(output, chosen or "csv", restart=restart)
    with results.interruptible(output, store), options.progress_bar(quiet) as progress:
        rows = run(plan, store, progress)
    if output is None and chosen is not None:
        results.deliver({"rows": rows}, output, chosen, quiet)
        return
    if quiet:
        return
    console = options.console()
    kinds = dict.fromkeys(setting.features for setting in plan.settings)
    statistics = [*probe_statistics(plan.models[0], kinds), sample_statistics()]
    console.print(probe_tables(rows, against(rows, "random"), statistics, CHANCE))
    if named is not None:
        settings = [(name, s.selector, s.parameters) for name, s in zip(named.names, named.settings, strict=True)]
        console.print(paper_table(rows, settings, named.paper, named.source))
    if output is not None:
        results.tell_row_file(output, len(rows), store)


def _study(folder: Path, n_questions: int, restart: bool, quiet: bool) -> None:
    """Run the clustering study, writing to a folder."""
    from stgraph.errors import InputError

    _check_torch()
    from stgraph.bench.probe.study import study

    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write into {folder}: it is not a folder; name one with --study")
    with results.resumable(f" from {folder}"), options.progress_bar(quiet) as progress:
        made = study(folder, n_questions, progress, restart=restart)
    if not quiet:
        typer.echo("Wrote " + ", ".join(map(str, made)))


def _plan(preset: Any, common: dict[str, Any], features: list[str] | None, method: dict[str, Any]) -> Any:
    from stgraph.bench.probe.plan import ProbePlan, probe_selectors, probe_settings
    from stgraph.bench.probe.presets import DEFAULT_BACKENDS, DEFAULT_RATIOS, DEFAULT_SELECTORS
    from stgraph.bench.probe.weights import model_names

    if common.get("models") == ("all",):
        common["models"] = model_names()
    ratios = method.pop("retain_ratio", None)
    if preset is not None:
        _refuse({**method, "features": features}, "--preset has its own")
        return ProbePlan(settings=preset.settings, retain_ratios=ratios or preset.retain_ratios, **common)
    selectors = method.pop("selector", None)
    if selectors is not None and "all" in selectors:
        selectors = tuple(probe_selectors(common.get("models", ())))
    axes = {name: value if isinstance(value, tuple) else (value,) for name, value in method.items()}
    if selectors is None:
        axes.setdefault("backend", DEFAULT_BACKENDS)
    settings = probe_settings(selectors or DEFAULT_SELECTORS, axes, tuple(features or ("projector",)))
    return ProbePlan(settings=settings, retain_ratios=ratios or DEFAULT_RATIOS, **common)


def _refuse(given: dict[str, Any], reason: str) -> None:
    """Raise InputError if any of the options is given."""
    from stgraph.errors import InputError

    for name, value in given.items():
        if value:
            raise InputError(f"{reason} {name.replace('_', ' ')}; leave that option out")


def _check_torch() -> None:
    from importlib.util import find_spec

    from stgraph.errors import missing_dependency

    if find_spec("torch") is None:
        raise missing_dependency("stgraph probe", "torch", "hf")
