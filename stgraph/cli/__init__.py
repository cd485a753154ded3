"""The ``stgraph`` command: one file per subcommand; libraries are imported when a command runs."""

from __future__ import annotations

import io
import sys
from typing import Any

import typer

from stgraph.cli import (
    batch,
    bench,
    cache,
    communities,
    compare,
    convert,
    doctor,
    dump,
    inspect,
    options,
    plot,
    probe,
    sample,
    select,
    selectors,
    serve_check,
    sweep,
    view,
)
from stgraph.cli import eval as evaluation
from stgraph.cli.grouped_help import GroupedCommand
from stgraph.errors import StgraphError

app = typer.Typer(
    name="stgraph",
    help="Video tokens as a spatio-temporal graph: what does the choice of community detection do to what a VLM sees?",
    rich_markup_mode=None,  # plain help: two columns fit 80 characters, nothing is cut
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    compare,
    view,
    plot,
    sweep,
    inspect,
    communities,
    select,
    sample,
    dump,
    batch,
    convert,
    evaluation,
    probe,
    bench,
    serve_check,
    cache,
    selectors,
    doctor,
):
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    app.command(name, cls=GroupedCommand, epilog=module.EXAMPLES)(module.command)


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version and exit.")
) -> None:
    if version:
        from stgraph import __version__

        typer.echo(f"stgraph {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


_UsageError: Any = typer.BadParameter.__base__  # click's; newer typer releases bring their own copy


def main() -> int:
    """Run the command line; errors we raise on purpose end in one line on stderr and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows "?" for the lines of a table
    try:
        return app(standalone_mode=False) or 0
    except (StgraphError, _UsageError) as error:
        text = error.format_message() if isinstance(error, _UsageError) else str(error)
        typer.echo(f"error: {options.printable(text)}", err=True)
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # the reader is gone (| head); there is no one left to tell
        return 1
    except OSError as error:
        typer.echo(f"error: {error}", err=True)  # from stdout: our own reads and writes raise the above
        return 2
