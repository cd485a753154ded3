"""``stgraph sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results

_AXIS = "repeat, or give start:stop:step."


def command(
    dumps: Annotated[
        list[Path] | None, typer.Argument(help="Token dumps; without one, the bundled sample.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Rows go to this file (.csv, .parquet, .jsonl); those it holds are not computed again.",
            show_default=False,
        ),
    ] = None,
    tau_sims: Annotated[
        list[str] | None,
        typer.Option(
            "--tau-sim", help=f"Similarity an edge must exceed; {_AXIS}  [default: 0.6:0.95:0.05]", show_default=False
        ),
    ] = None,
    tau_diffs: Annotated[
        list[str] | None,
        typer.Option(
            "--tau-diff",
            help=f"Event threshold: a similarity, or a percentile like p95; {_AXIS}  [default: 0.1:0.4:0.1]",
            show_default=False,
        ),
    ] = None,
    ratios: Annotated[
        list[str] | None,
        typer.Option(
            "-r", "--retain-ratio", help=f"Share of tokens to keep; {_AXIS}  [default: 0.3 0.5]", show_default=False
        ),
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "-b", "--backend", help="Community backend; repeat.  [default: lattice-components]", show_default=False
        ),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            help="Splitter; repeat: tree, raster, redetect, native.  [default: tree]",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        list[str] | None,
        typer.Option("--seed", help=f"Seed for backends that use one; {_AXIS}  [default: 0]", show_default=False),
    ] = None,
    presets: Annotated[
        list[str] | None,
        typer.Option(
            "--preset",
            help="Row of the paper's ablation; repeat: attention-only, spatial, temporal, spatial-temporal, full. "
            "Reduces by attention.  [default: full, by --importance auto]",
            show_default=False,
        ),
    ] = None,
    importance: Annotated[
        str | None,
        typer.Option(
            "--importance",
            help="Drops surplus candidates: auto, attention, difference-then-centrality, centrality, difference, norm.",
            show_default=False,
        ),
    ] = None,
    max_size: options.MaxSize = "sqrt",
    resolution: options.Resolution = 1.0,
    protect_events: options.ProtectEvents = False,
    fidelity: Annotated[
        bool, typer.Option("--fidelity/--no-fidelity", help="Nearest-kept-token figures; time grows with N squared.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Replace the output file instead of going on.")] = False,
    fmt: Annotated[
        str | None,
        typer.Option("--format", help="csv, parquet or jsonl; by default a table, or the suffix of -o."),
    ] = None,
    query: options.Query = None,
    device: options.Device = "cpu",
    quiet: options.Quiet = False,
) -> None:
    """Run st-simdiff over a grid of thresholds, ratios, backends and presets; an interrupted sweep goes on later."""
    from stgraph.bench.sweep import run
    from stgraph.bench.sweep_plan import REFERENCE, tau_diff_text
    from stgraph.bench.sweep_rows import SweepRows
    from stgraph.errors import InputError

    options.check_device(device)
    chosen = results.check_row_file(output, fmt, restart)
    if query is not None and len(dumps or ()) != 1:
        raise InputError("--query belongs to one dump; name that one")
    plan = _plan(
        tau_sims=tau_sims,
        tau_diffs=tau_diffs,
        retain_ratios=ratios,
        seeds=seeds,
        backends=backends,
        splits=splits,
        presets=presets,
        importance=importance,
        fidelity=fidelity,
        max_size=options.max_size(max_size),
        resolution=resolution,
        protect_events=protect_events,
    )
    store = SweepRows(output, chosen or "csv", restart=restart)
    inputs = [options.open_tokens(path, query) for path in dumps] if dumps else [options.open_tokens(None)]
    try:
        with options.progress_bar(quiet) as progress:
            rows = run(plan, inputs, store, progress, device)
    except KeyboardInterrupt:
        results.tell_interrupted(output, store)
        raise typer.Exit(130) from None
    if output is None and chosen is not None:
        results.deliver({"rows": rows}, output, chosen, quiet)
        return
    if quiet:
        return
    from stgraph.viz.sweep import sweep_tables

    console = options.console()
    console.print(options.printable(", ".join(name for name, _ in inputs)), style="bold", markup=False)
    console.print(sweep_tables(rows, (REFERENCE[0], tau_diff_text(REFERENCE[1]))))
    if output is not None:
        _tell(output, len(rows), store, {row["dump"]: row["digest"] for row in rows})


def _plan(**given: Any) -> Any:
    """The plan of the options given; those left out keep its defaults."""
    from stgraph.bench.sweep_plan import SweepPlan, number_range
    from stgraph.errors import InputError

    axes: dict[str, list[Any]] = {}
    for axis, name in (("tau_sims", "tau_sim"), ("retain_ratios", "retain_ratio"), ("seeds", "seed")):
        axes[axis] = [value for text in given.pop(axis) or () for value in number_range(name, text)]
    for seed in axes["seeds"]:
        if not float(seed).is_integer():
            raise InputError(f"seed is {seed:g}; it must be an integer from 0 to 2^31 - 1")
    axes["seeds"] = [int(seed) for seed in axes["seeds"]]
    axes["tau_diffs"] = [
        value
        for text in given.pop("tau_diffs") or ()
        for value in (number_range("tau_diff", text) if ":" in text else (options.tau_diff(text),))
    ]
    for name in ("backends", "splits", "presets"):
        axes[name] = given.pop(name) or []
    given.update({name: tuple(values) for name, values in axes.items() if values})
    return SweepPlan(**given)


def _tell(output: Path, n_wanted: int, store: Any, digests: dict[str, str]) -> None:
    """What became of the output file."""
    results.tell_row_file(output, n_wanted, store)
    for name in store.superseded(digests):
        typer.echo(f"Note: {name} has changed since; rows of what it held before are kept under their own digest")
