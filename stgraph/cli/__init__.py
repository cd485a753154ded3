"""The ``stgraph`` command. One file a subcommand; libraries are imported when a command runs."""

from __future__ import annotations

import sys

import typer

from stgraph.cli import bench, communities, compare, doctor, inspect, sample, select
from stgraph.errors import StgraphError

app = typer.Typer(
    name="stgraph",
    help="Video tokens as a spatio-temporal graph: what does the choice of community detection do to what a VLM sees?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (compare, inspect, communities, select, sample, bench, doctor):
    app.command(name=module.__name__.rpartition(".")[2])(module.command)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        from stgraph import __version__

        typer.echo(f"stgraph {__version__}")
        raise typer.Exit


def main() -> int:
    """Run the command line; errors we raise on purpose end in one line on stderr and exit status 2."""
    try:
        app()
    except StgraphError as error:
        typer.echo(f"error: {error}", err=True)
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (| head); nothing is left to tell it
        return 1
    return 0
