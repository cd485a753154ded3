"""Output of a command's rows: a file, standard output, or a table on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from stgraph.cli import options

Tables = Mapping[str, Sequence[Mapping[str, Any]]]
RESUMES = "run the same command again to resume"


def check_output(output: Path | None, fmt: str | None, formats: Sequence[str] | None = None) -> str | None:
    """The output format of rows, or None for a table; anything that could fail later fails here.

    ``formats`` are the allowed ones, if not all of ``stgraph.bench.tables.writing.FORMATS``.
    """
    from stgraph.bench.tables.parquet_file import check_parquet
    from stgraph.bench.tables.writing import FORMATS, format_of
    from stgraph.errors import InputError
    from stgraph.files import check_writable

    chosen = format_of(output, fmt, FORMATS if formats is None else formats)
    if chosen == "parquet":
        check_parquet()
    if output is not None:
        check_writable(output)
    elif chosen == "parquet":
        raise InputError("--format parquet needs a file; name one with -o")
    return chosen


def check_row_file(output: Path | None, fmt: str | None, restart: bool) -> str | None:
    """The same for a row file that a later run can resume."""
    from stgraph.bench.tables.writing import ROW_FORMATS
    from stgraph.errors import InputError

    chosen = check_output(output, fmt, ROW_FORMATS)
    if restart and output is None:
        raise InputError("--restart replaces the output file; name one with -o")
    return chosen


def tell_row_file(output: Path, n_wanted: int, store: Any) -> None:
    """Report the rows written to the file."""
    if store.n_new == 0:
        typer.echo(f"Nothing to do: all {n_wanted:,} rows are already in {output}")
    else:
        typer.echo(f"Wrote {output}: {store.n_new:,} new rows, {len(store):,} in all")


def tell_left_out(files: Sequence[str | Path]) -> None:
    """Say of files of a folder that they were not read, if there are any."""
    if files:
        number = "1 file" if len(files) == 1 else f"{len(files):,} files"
        typer.echo(f"Left out, read only if given by name: {number}, such as {options.printable(str(files[0]))}")


@contextmanager
def interruptible(output: Path | None, store: Any) -> Iterator[None]:
    """Ctrl-C inside the block says what is left behind and ends the command with status 130.

    So does an interrupt of another kind, with its own ``status``.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        there = f"{output} holds {len(store):,} rows; {RESUMES}"
        raise _interrupted(there if output and len(store) else "no row was written", stop) from None


@contextmanager
def resumable(where: str = "") -> Iterator[None]:
    """Ctrl-C inside the block says that the same command resumes, and ends it with status 130."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise _interrupted(f"{RESUMES}{where}", stop) from None


def _interrupted(told: str, stop: KeyboardInterrupt) -> typer.Exit:
    typer.echo(f"Interrupted: {told}", err=True)
    return typer.Exit(getattr(stop, "status", 130))


def wants_table(output: Path | None, chosen: str | None, quiet: bool) -> bool:
    """Whether to show tables: not with --quiet, nor when rows go to standard output."""
    return not quiet and (chosen is None or output is not None)


def deliver(tables: Tables, output: Path | None, chosen: str | None, quiet: bool) -> None:
    """Write the rows to the requested place."""
    from stgraph.bench.tables.writing import encode, write

    if chosen is None:
        return
    if output is None:
        typer.echo(encode(tables, chosen), nl=False)
        return
    made = write(output, tables, chosen)
    if not quiet:
        typer.echo("Wrote " + ", ".join(map(str, made)))
