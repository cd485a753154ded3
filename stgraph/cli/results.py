"""Where a command's rows go: a file, standard output, or a table on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

Tables = Mapping[str, Sequence[Mapping[str, Any]]]


def check_output(output: Path | None, fmt: str | None) -> str | None:
    """The format rows will be written in, or None for a table; everything that could fail later fails here."""
    from stgraph.bench import rows
    from stgraph.errors import InputError

    chosen = rows.format_of(output, fmt)
    if output is not None:
        rows.check_writable(output)
    elif chosen == "parquet":
        raise InputError("--format parquet needs a file; name one with -o")
    return chosen


def wants_table(output: Path | None, chosen: str | None, quiet: bool) -> bool:
    """Whether to show tables: not with --quiet, and not where rows go to standard output."""
    return not quiet and (chosen is None or output is not None)


def deliver(tables: Tables, output: Path | None, chosen: str | None, quiet: bool) -> None:
    """Write the rows where they were asked for."""
    from stgraph.bench import rows

    if chosen is None:
        return
    if output is None:
        typer.echo(rows.encode(tables, chosen), nl=False)
        return
    made = rows.write(output, tables, chosen)
    if not quiet:
        typer.echo("Wrote " + ", ".join(map(str, made)))
