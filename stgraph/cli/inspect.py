"""``stgraph inspect``."""

from __future__ import annotations

from typing import Any

import typer

from stgraph.cli import options
from stgraph.cli.method_options import takes_method

EXAMPLES = """
stgraph inspect clip.safetensors
stgraph inspect clip.safetensors --query question.safetensors --tau-sim 0.9
"""


@takes_method("tau_sim")
def command(
    dump: options.Dump = None,
    query: options.Query = None,
    fmt: options.TableOrJson = None,
    encoder: options.Encoder = None,
    frames: options.Frames = None,
    quiet: options.Quiet = False,
    *,
    method: dict[str, Any],
) -> None:
    """Show the contents of a dump and the statistics of its token graph."""
    import json

    import stgraph
    from stgraph.errors import InputError

    if fmt not in (None, "json"):
        raise InputError(f"inspect prints a table or --format json, not {fmt!r}")
    name, tokens = options.open_tokens(dump, query, encoder=encoder, frames=frames, quiet=quiet)
    summary = stgraph.build_graph(tokens, **method).summary()
    if fmt == "json":
        signals = {key: {"shape": list(a.shape), "dtype": str(a.dtype)} for key, a in tokens.signals.items()}
        facts = {"grid": list(tokens.grid.shape), "n_tokens": tokens.grid.n_tokens, "dimension": tokens.dimension}
        everything = {
            "dump": name,
            **facts,
            "dtype": tokens.dtype,
            "signals": signals,
            "metadata": dict(tokens.metadata),
        }
        typer.echo(json.dumps({**everything, "graph": summary.to_dict()}, indent=1))
        return
    if quiet:
        return
    from stgraph.viz.tables import graph_tables

    console = options.console()
    console.print(options.printable(f"{name}: {tokens}"), style="bold", markup=False)
    for key, value in tokens.metadata.items():
        console.print("  " + options.printable(f"{key}: {value}"), markup=False)
    console.print(graph_tables(summary.to_dict()))
