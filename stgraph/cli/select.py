"""``stgraph select``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stgraph.cli import options


def command(
    context: typer.Context,
    dump: options.Dump = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the kept tokens as a dump.", show_default=False)
    ] = None,
    query: options.Query = None,
    selector: Annotated[
        str, typer.Option("-s", "--selector", help="Selector; `stgraph doctor` lists them.")
    ] = "st-simdiff",
    ratio: Annotated[
        float | None,
        typer.Option("-r", "--retain-ratio", help="Share of tokens to keep.  [default: 0.3]", show_default=False),
    ] = None,
    n_keep: Annotated[
        int | None,
        typer.Option("-n", "--n-keep", help="Number of tokens to keep, instead of a share.", show_default=False),
    ] = None,
    backend: Annotated[str, typer.Option("-b", "--backend", help="Community backend, or auto.")] = "lattice-components",
    tau_sim: options.TauSim = 0.8,
    tau_diff: options.TauDiff = "0.2",
    max_size: options.MaxSize = "sqrt",
    split: options.Split = "tree",
    resolution: options.Resolution = 1.0,
    seed: options.Seed = 0,
    importance: options.Importance = "auto",
    protect_events: options.ProtectEvents = False,
    spatial: options.Spatial = True,
    temporal: options.Temporal = True,
    measured: options.Measured = "kept",
    newlines: options.Newlines = None,
    parameters: options.Parameters = None,
    device: options.Device = "cpu",
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="Row of the paper's ablation: attention-only, spatial, temporal, spatial-temporal, full.",
            show_default=False,
        ),
    ] = None,
    fmt: options.TableOrJson = None,
) -> None:
    """Select the tokens to keep, show how many were kept per frame and why, and write them as a dump.

    Options from --backend on belong to st-simdiff and its kin; -p sets the parameters of any selector.
    """
    import json

    import stgraph
    from stgraph.bench import rows
    from stgraph.errors import InputError
    from stgraph.selection.presets import ablation

    options.check_device(device)
    if fmt not in (None, "json"):
        raise InputError(f"select prints a table or --format json, not {fmt!r}")
    if output is not None:
        rows.check_writable(output)
    named = {
        "backend": backend,
        "tau_sim": tau_sim,
        "tau_diff": options.tau_diff(tau_diff),
        "max_size": options.max_size(max_size),
        "split": split,
        "resolution": resolution,
        "seed": seed,
        "importance": importance,
        "protect_events": protect_events,
        "spatial": spatial,
        "temporal": temporal,
    }
    chosen = stgraph.selector(
        selector,
        retain_ratio=0.3 if ratio is None and n_keep is None else ratio,
        n_keep=n_keep,
        measured=measured,
        newlines=newlines,
        **{
            **({} if preset is None else ablation(preset)),
            **{key: value for key, value in named.items() if options.is_given(context, key)},
            **options.parameters(parameters or []),
        },
    )
    name, tokens = options.open_tokens(dump, query)
    kept = chosen.select(tokens.to(device)).to("cpu")
    if output is not None:
        kept.save(output, tokens)
    if fmt == "json":
        facts = {
            "dump": name,
            "n_kept": len(kept),
            "kind": kept.kind,
            "exactness": kept.exactness,
            "reasons": kept.reasons(),
            "account": kept.account.to_dict(),
            "report": dict(kept.report),
        }
        typer.echo(json.dumps({**facts, "provenance": dict(kept.provenance)}, indent=1))
        return
    from stgraph.viz.tables import selection_table

    console = options.console()
    console.print(options.printable(f"{name}: {kept!r}"), style="bold", markup=False)
    per_frame = kept.mask.sum(axis=(1, 2)).tolist()
    size = tokens.grid.H * tokens.grid.W
    table = selection_table(per_frame, size, kept.report, kept.account.to_dict(), kept.exactness)
    console.print(table)
    if output is not None:
        typer.echo(f"Wrote {output}")
