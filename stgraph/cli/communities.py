"""``stgraph communities``."""

from __future__ import annotations

from typing import Any

import typer

from stgraph.cli import options, results
from stgraph.cli.method_options import COMMUNITIES, takes_method

EXAMPLES = """
stgraph communities clip.safetensors -b igraph-leiden
stgraph communities clip.safetensors --max-size none --format json
stgraph communities clip.safetensors -o labels.csv
"""


@takes_method("backend", *COMMUNITIES)
def command(
    dump: options.Dump = None,
    device: options.Device = "cpu",
    fmt: options.Format = None,
    output: options.Output = None,
    encoder: options.Encoder = None,
    frames: options.Frames = None,
    quiet: options.Quiet = False,
    *,
    method: dict[str, Any],
) -> None:
    """Detect communities and show their sizes and quality; with -o write one row per token."""
    import json

    import stgraph
    from stgraph.errors import InputError

    options.check_device(device)
    chosen = results.check_output(output, fmt)
    if output is None and chosen == "csv":
        raise InputError("--format csv needs a file; name one with -o")
    name, tokens = options.open_tokens(dump, encoder=encoder, frames=frames, quiet=quiet)
    edges = {key: method.pop(key) for key in ("tau_sim", "spatial", "temporal") if key in method}
    graph = stgraph.build_graph(tokens.to(device), **edges)
    partition = stgraph.detect_communities(graph, **method).to("cpu")
    if output is not None:
        t, y, x = (axis[tokens.grid.rows].tolist() for axis in tokens.grid.coordinates())
        labels, found = partition.labels.tolist(), partition.uncapped_labels.tolist()
        columns = zip(range(graph.n_nodes), t, y, x, labels, found, strict=True)
        keys = ("node", "t", "y", "x", "community", "uncapped_community")
        tokens_table = [dict(zip(keys, values, strict=True)) for values in columns]
        results.deliver({"tokens": tokens_table}, output, chosen, quiet)
        return
    report = {"summary": partition.summary(), "provenance": partition.provenance.to_dict()}
    if fmt == "json":
        typer.echo(json.dumps({"dump": name, **report}, indent=1))
        return
    if quiet:
        return
    from stgraph.viz.terminal.tables import partition_tables

    console = options.console()
    console.print(options.printable(f"{name}: {partition!r}"), style="bold", markup=False)
    console.print(partition_tables(report, partition.uncapped_sizes.tolist(), partition.sizes.tolist()))
