"""``stgraph compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results


def command(
    dumps: Annotated[
        list[Path] | None, typer.Argument(help="Token dumps; without one, the bundled sample.", show_default=False)
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "-b", "--backend", help="Backend to compare; repeat. Default: all that run here.", show_default=False
        ),
    ] = None,
    ratios: Annotated[
        list[float] | None,
        typer.Option(
            "-r", "--retain-ratio", help="Share of tokens to keep; repeat. Default: 0.1 0.3 0.5.", show_default=False
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds for backends that use one.")] = 3,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            help="Splitter; repeat to compare: tree, raster, redetect, native. Default: tree.",
            show_default=False,
        ),
    ] = None,
    tau_sim: options.TauSim = 0.8,
    tau_diff: options.TauDiff = "0.2",
    max_size: options.MaxSize = "sqrt",
    resolution: options.Resolution = 1.0,
    importance: options.Importance = "auto",
    protect_events: options.ProtectEvents = False,
    spatial: options.Spatial = True,
    temporal: options.Temporal = True,
    fidelity: Annotated[
        bool, typer.Option("--fidelity/--no-fidelity", help="Nearest-kept-token figures; time grows with N squared.")
    ] = True,
    fmt: options.Format = None,
    output: options.Output = None,
    query: options.Query = None,
    quiet: options.Quiet = False,
) -> None:
    """Run every community backend on the same tokens and show what each choice lets a VLM see."""
    from stgraph.bench.compare import ComparePlan, compare_backends
    from stgraph.errors import InputError

    chosen = results.check_output(output, fmt)
    if query is not None and len(dumps or ()) > 1:
        raise InputError("--query belongs to one dump; compare one at a time")
    plan = ComparePlan(
        backends=tuple(backends or ()),
        retain_ratios=tuple(ratios or (0.1, 0.3, 0.5)),
        seeds=tuple(range(seeds)),
        splits=tuple(splits or ("tree",)),
        fidelity=fidelity,
        options={
            "tau_sim": tau_sim,
            "tau_diff": options.tau_diff(tau_diff),
            "max_size": options.max_size(max_size),
            "resolution": resolution,
            "importance": importance,
            "protect_events": protect_events,
            "spatial": spatial,
            "temporal": temporal,
        },
    )
    plan.selectors()  # every name and number is checked before any dump is read
    inputs = [options.open_tokens(path, query) for path in dumps] if dumps else [options.open_tokens(None, query)]
    tables: dict[str, list[dict[str, Any]]] = {"rows": [], "overlap": []}
    for name, tokens in inputs:
        with options.progress_bar(quiet) as progress:
            result = compare_backends(tokens, plan, dump=name, progress=progress)
        tables["rows"] += result.rows
        tables["overlap"] += result.overlap
        if results.wants_table(output, chosen, quiet):
            _show(name, tokens, result)
    results.deliver(tables, output, chosen, quiet)


def _show(name: str, tokens: Any, result: Any) -> None:
    from stgraph.viz.comparison import comparison_tables

    console = options.console()
    title = tokens.metadata.get("title")
    console.print("\n" + options.printable(f"{name}: {title}" if title else name), style="bold", markup=False)
    console.print(options.printable(tokens), markup=False)
    console.print(comparison_tables(result.rows, result.overlap))
