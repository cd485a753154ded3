"""A selection on standard output: as JSON, or as a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from stgraph.cli import options

if TYPE_CHECKING:
    from stgraph.selection.result import Selection


def kept_per_frame(kept: Selection) -> list[int]:
    """Kept tokens in each frame."""
    counts: list[int] = kept.mask.sum(axis=(1, 2)).tolist()
    return counts


def tell_facts(source: str, kept: Selection, **more: Any) -> None:
    """Print the selection as JSON, with further entries."""
    facts = {
        "dump": source,
        **more,
        "n_kept": len(kept),
        "kind": kept.kind,
        "exactness": kept.exactness,
        "reasons": kept.reasons(),
        "account": kept.account.to_dict(),
        "report": dict(kept.report),
        "provenance": dict(kept.provenance),
    }
    typer.echo(json.dumps(facts, indent=1))


def tell_table(source: str, kept: Selection, *lines: str) -> None:
    """Print the table of kept tokens below a title and some lines."""
    from stgraph.viz.terminal.tables import selection_table

    console = options.console()
    console.print(options.printable(f"{source}: {kept!r}"), style="bold", markup=False)
    for line in lines:
        console.print(line, markup=False)
    size = kept.grid.H * kept.grid.W
    table = selection_table(kept_per_frame(kept), size, kept.report, kept.account.to_dict(), kept.exactness)
    console.print(table)
