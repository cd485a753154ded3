"""``stgraph inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from stgraph.cli import options
from stgraph.cli.method_options import takes_method
from stgraph.cli.selection_report import kept_per_frame, tell_facts, tell_table

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
    from stgraph.container import kind_of_dump
    from stgraph.errors import InputError

    if fmt not in (None, "json"):
        raise InputError(f"inspect prints a table or --format json, not {fmt!r}")
    if dump is not None and kind_of_dump(dump) == "selection":
        if query is not None or method or encoder is not None or frames is not None:
            raise InputError(f"{dump} is a selection, which takes no option of tokens; leave them out")
        _show_selection(dump, fmt, quiet)
        return
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
    from stgraph.viz.facts import flat_facts
    from stgraph.viz.terminal.tables import graph_tables

    console = options.console()
    console.print(options.printable(f"{name}: {tokens}"), style="bold", markup=False)
    for key, value in flat_facts(tokens.metadata).items():
        console.print("  " + options.printable(f"{key}: {value}"), markup=False)
    console.print(graph_tables(summary.to_dict()))


def _show_selection(path: Path, fmt: str | None, quiet: bool) -> None:
    """Contents of a selection file: tokens kept per frame, with reasons, and the selector."""

    import stgraph

    kept = stgraph.Selection.load(path)
    if fmt == "json":
        tell_facts(options.printable(path), kept, grid=list(kept.grid.shape), kept_per_frame=kept_per_frame(kept))
    elif not quiet:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in kept.reasons().items())
        tell_table(str(path), kept, f"kept as: {reasons}")
