"""``stgraph communities``."""

from __future__ import annotations

from typing import Annotated

import typer

from stgraph.cli import options, results


def command(
    dump: options.Dump = None,
    backend: Annotated[str, typer.Option("-b", "--backend", help="Community backend, or auto.")] = "auto",
    tau_sim: options.TauSim = 0.8,
    max_size: options.MaxSize = "sqrt",
    split: options.Split = "tree",
    resolution: options.Resolution = 1.0,
    seed: options.Seed = 0,
    spatial: options.Spatial = True,
    temporal: options.Temporal = True,
    device: options.Device = "cpu",
    fmt: options.Format = None,
    output: options.Output = None,
) -> None:
    """Detect communities and show their sizes and quality; with -o write one row a token."""
    import json

    import stgraph
    from stgraph.errors import InputError

    options.check_device(device)
    chosen = results.check_output(output, fmt)
    if output is None and chosen == "csv":
        raise InputError("--format csv needs a file; name one with -o")
    name, tokens = options.open_tokens(dump)
    graph = stgraph.build_graph(tokens.to(device), tau_sim, spatial=spatial, temporal=temporal)
    partition = stgraph.detect_communities(
        graph, backend, max_size=options.max_size(max_size), split=split, resolution=resolution, seed=seed
    ).to("cpu")
    if output is not None:
        t, y, x = (axis[tokens.grid.rows].tolist() for axis in tokens.grid.coordinates())
        labels, found = partition.labels.tolist(), partition.uncapped_labels.tolist()
        columns = zip(range(graph.n_nodes), t, y, x, labels, found, strict=True)
        keys = ("node", "t", "y", "x", "community", "uncapped_community")
        tokens_table = [dict(zip(keys, values, strict=True)) for values in columns]
        results.deliver({"tokens": tokens_table}, output, chosen, quiet=False)
        return
    report = {"summary": partition.summary(), "provenance": partition.provenance.to_dict()}
    if fmt == "json":
        typer.echo(json.dumps({"dump": name, **report}, indent=1))
        return
    from stgraph.viz.tables import partition_tables

    console = options.console()
    console.print(options.printable(f"{name}: {partition!r}"), style="bold", markup=False)
    console.print(partition_tables(report, partition.uncapped_sizes.tolist(), partition.sizes.tolist()))
