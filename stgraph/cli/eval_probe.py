"""``stgraph eval`` without a model: the synthetic probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import typer

from stgraph.cli import options, results


@dataclass(frozen=True)
class Asked:
    """What the command line says; what is empty or None is at its default."""

    selectors: tuple[str, ...] = ()
    retain_ratios: tuple[float, ...] = ()
    backends: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    videos: str | None = None
    n_questions: int | None = None
    preset: str | None = None

    def refuse(self, names: Sequence[str], reason: str) -> None:
        """Raise InputError where one of ``names`` is given."""
        from stgraph.errors import InputError

        given = [f.name for f in fields(self) if f.name in names and getattr(self, f.name)]
        if given:
            raise InputError(f"{reason} {given[0].replace('_', ' ')}; leave those options out")


def evaluate(asked: Asked, *, output: Path | None, fmt: str | None, restart: bool, quiet: bool) -> None:
    """Run the probe, write the rows, and show what they come to."""
    _check_torch()
    from stgraph.bench.probe.contrasts import against
    from stgraph.bench.probe.features import probe_statistics, sample_statistics
    from stgraph.bench.probe.presets import preset
    from stgraph.bench.probe.rows import ProbeRows
    from stgraph.bench.probe.run import run
    from stgraph.bench.probe.words import CHANCE
    from stgraph.viz.probe import paper_table, probe_tables

    chosen = results.check_row_file(output, fmt, restart)
    named = preset(asked.preset) if asked.preset is not None else None
    plan = _plan(asked, named)
    store = ProbeRows(output, chosen or "csv", restart=restart)
    try:
        with options.progress_bar(quiet) as progress:
            rows = run(plan, store, progress)
    except KeyboardInterrupt:
        results.tell_interrupted(output, store)
        raise typer.Exit(130) from None
    if output is None and chosen is not None:
        results.deliver({"rows": rows}, output, chosen, quiet)
        return
    if quiet:
        return
    console = options.console()
    kinds = dict.fromkeys(setting.features for setting in plan.settings)
    features = [*probe_statistics(plan.models[0], kinds), sample_statistics()]
    console.print(probe_tables(rows, against(rows, "random"), features, CHANCE))
    if named is not None:
        settings = [(name, s.selector, s.parameters) for name, s in zip(named.names, named.settings, strict=True)]
        console.print(paper_table(rows, settings, named.paper, named.source))
    if output is not None:
        results.tell_row_file(output, len(rows), store)


def evaluate_study(
    folder: Path, asked: Asked, *, output: Path | None, fmt: str | None, restart: bool, quiet: bool
) -> None:
    """Run the study of clusterings into a folder."""
    from stgraph.errors import InputError

    _check_torch()
    from stgraph.bench.probe.study import study

    asked.refuse([f.name for f in fields(Asked) if f.name != "n_questions"], "--study has its own")
    if output is not None or fmt is not None or restart:
        raise InputError("--study names its files itself; leave out -o, --format and --restart")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write into {folder}: it is no folder; name one with --study")
    try:
        with options.progress_bar(quiet) as progress:
            made = study(folder, asked.n_questions or 2000, progress)
    except KeyboardInterrupt:
        typer.echo(f"Interrupted: the same command goes on from what {folder} holds", err=True)
        raise typer.Exit(130) from None
    if not quiet:
        typer.echo("Wrote " + ", ".join(map(str, made)))


def _plan(asked: Asked, preset: Any) -> Any:
    from stgraph.bench.probe.plan import ProbePlan, settings_of
    from stgraph.bench.probe.presets import DEFAULT_BACKENDS, DEFAULT_RATIOS, DEFAULT_SELECTORS
    from stgraph.bench.probe.weights import model_names

    common: dict[str, Any] = {"models": model_names() if asked.weights == ("all",) else asked.weights}
    common |= {name: getattr(asked, name) for name in ("videos", "n_questions") if getattr(asked, name) is not None}
    if preset is not None:
        asked.refuse(("selectors", "backends", "splits", "options", "features"), "--preset has its own")
        return ProbePlan(settings=preset.settings, retain_ratios=asked.retain_ratios or preset.retain_ratios, **common)
    backends = asked.backends or (() if asked.selectors else DEFAULT_BACKENDS)
    axes: dict[str, tuple[Any, ...]] = {name: (value,) for name, value in asked.options.items()}
    axes |= {"backend": backends} if backends else {}
    axes |= {"split": asked.splits} if asked.splits else {}
    settings = settings_of(asked.selectors or DEFAULT_SELECTORS, axes, asked.features or ("projector",))
    return ProbePlan(settings=settings, retain_ratios=asked.retain_ratios or DEFAULT_RATIOS, **common)


def _check_torch() -> None:
    from importlib.util import find_spec

    from stgraph.errors import missing_dependency

    if find_spec("torch") is None:
        raise missing_dependency("stgraph eval", "torch", "hf")
