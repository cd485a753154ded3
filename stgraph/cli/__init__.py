"""The ``stgraph`` command: one file per subcommand; libraries are imported when a command runs."""

from __future__ import annotations

import io
import os
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
    reproduce,
    sample,
    select,
    selectors,
    serve_check,
    sweep,
    view,
)
from stgraph.cli import eval as evaluation
from stgraph.cli.grouped_help import GroupedCommand, HelpedGroup
from stgraph.errors import StgraphError

app = typer.Typer(
    name="stgraph",
    cls=HelpedGroup,
    help="Video tokens as a spatio-temporal graph: what does the choice of community detection do to what a VLM sees?",
    rich_markup_mode=None,  # plain help: two columns fit 80 characters, nothing is cut
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
    reproduce,
    bench,
    serve_check,
    cache,
    selectors,
    doctor,
):
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    app.command(name, cls=GroupedCommand, epilog=module.EXAMPLES)(module.command)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: bool = typer.Option(False, "-V", "--version", help="Print the version and exit."),
    verbose: bool = typer.Option(False, "-v", "--verbose", help="Say on stderr what is skipped, copied and cached."),
) -> None:
    if verbose:
        import logging

        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        logger = logging.getLogger("stgraph")
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
    if version:
        from stgraph import __version__

        typer.echo(f"stgraph {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


_UsageError: Any = typer.BadParameter.__base__  # click's; newer typer releases bring their own copy


def main() -> int:
    """Run the command line; the value is the exit status.

    0: done, also if the reader of a pipe closed it; 1: some inputs failed; 2: an error raised on purpose, with one line
    on stderr; 130: interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows "?" for the lines of a table
    stdout = sys.stdout
    try:
        status = app(standalone_mode=False) or 0
        sys.stdout.flush()  # here, where a reader that has gone is met, and not when the interpreter ends
        return status
    except (StgraphError, _UsageError) as error:
        text = error.format_message() if isinstance(error, _UsageError) else str(error)
        typer.echo(f"error: {options.printable(text)}", err=True)
        return 2
    except SystemExit:
        if sys.stdout is stdout:
            raise
        return 0  # the reader went away, and click has put a stream there that says nothing of it
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away (| head)
        return 0
    except OSError as error:
        typer.echo(f"error: {error}", err=True)  # from stdout: our own reads and writes raise the above
        return 2
