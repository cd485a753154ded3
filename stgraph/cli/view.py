"""``stgraph view``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stgraph.cli import options


def command(
    dump: options.Dump = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path("stgraph-view.html"),
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "-b",
            "--backend",
            help="Backend to switch to; repeat. Default: components, Louvain and two Leidens.",
            show_default=False,
        ),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            help="Splitter to switch to; repeat: tree, raster, redetect, native. Default: tree raster redetect.",
            show_default=False,
        ),
    ] = None,
    ratios: Annotated[
        list[float] | None,
        typer.Option(
            "-r",
            "--retain-ratio",
            help="Share of tokens to keep; repeat. Default: 0.1 0.2 0.3 0.5 0.7.",
            show_default=False,
        ),
    ] = None,
    tau_sim: options.TauSim = 0.8,
    tau_diff: options.TauDiff = "0.2",
    max_size: options.MaxSize = "sqrt",
    resolution: options.Resolution = 1.0,
    seed: options.Seed = 0,
    importance: options.Importance = "auto",
    protect_events: options.ProtectEvents = False,
    spatial: options.Spatial = True,
    temporal: options.Temporal = True,
    query: options.Query = None,
    quiet: options.Quiet = False,
) -> None:
    """Write one interactive page: frames, communities, kept tokens and why, for every backend, splitter and ratio.

    The page is one file that works offline; open it in any browser.
    """
    from stgraph.bench import rows
    from stgraph.cli.settings import computed, planned

    rows.check_writable(output)
    thresholds = {
        "tau_sim": tau_sim,
        "tau_diff": options.tau_diff(tau_diff),
        "max_size": options.max_size(max_size),
        "resolution": resolution,
        "seed": seed,
        "importance": importance,
        "protect_events": protect_events,
        "spatial": spatial,
        "temporal": temporal,
    }
    chosen = tuple(ratios or (0.1, 0.2, 0.3, 0.5, 0.7))
    selectors = planned(backends or (), splits or ("tree", "raster", "redetect"), chosen, thresholds)
    name, tokens = options.open_tokens(dump, query)
    from stgraph.viz.view import save_view

    with options.progress_bar(quiet) as progress:
        settings = computed(tokens, selectors, chosen, progress)
        save_view(output, tokens, settings, name=name)
    if not quiet:
        for setting in settings[:1]:
            typer.echo(f"{setting.backend}: {setting.finding()}")
        size = output.stat().st_size / 1e6
        typer.echo(f"Wrote {output} ({size:.1f} MB, {len(settings)} settings); open it in a browser")
