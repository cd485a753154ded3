"""Arguments and options several commands share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stgraph.tokens import VideoTokens

Dump = Annotated[
    Path | None, typer.Argument(help="Token dump (.safetensors); without one, the bundled sample.", show_default=False)
]
Query = Annotated[
    Path | None, typer.Option("--query", help="Query file with prompt-dependent signals.", show_default=False)
]
Format = Annotated[
    str | None, typer.Option("--format", help="json, csv or parquet; by default a table, or the suffix of -o.")
]
TableOrJson = Annotated[str | None, typer.Option("--format", help="json; by default a table.")]
RowFormat = Annotated[
    str | None, typer.Option("--format", help="csv, parquet or jsonl; by default a table, or the suffix of -o.")
]
RowFile = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="Write rows to this file (.csv, .parquet, .jsonl); rows it holds are not computed again.",
        show_default=False,
    ),
]
Restart = Annotated[bool, typer.Option("--restart", help="Replace the output file instead of going on.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write rows to this file.", show_default=False)]
Device = Annotated[str, typer.Option("--device", help="Where to compute: cpu, or cuda (cuda:1, ...).")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no table; only what was asked for.")]


def open_tokens(dump: Path | None, query: Path | None = None) -> tuple[str, VideoTokens]:
    """(name, tokens) of a dump, or of the bundled sample."""
    import stgraph
    from stgraph.errors import InputError

    if dump is None:
        if query is not None:
            raise InputError("--query needs the dump it belongs to; name both")
        return "sample", stgraph.sample()
    return printable(dump), stgraph.load(dump, query)


def check_device(device: str) -> None:
    """Raise unless arrays can lie on ``device`` here; before a dump is read."""
    import numpy as np

    from stgraph.devices import to_device

    to_device(np.zeros(1), device)


def printable(value: object) -> str:
    """Text from a file, with control characters escaped: a dump must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def console() -> Any:
    """Where tables go; wide enough for them where the output is no terminal."""
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=110)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Any]:
    """A callable (label, share) that moves a bar on stderr; silent with --quiet or where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<40}", markup=False), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda label, share: bar.update(task, description=printable(label), completed=share)
