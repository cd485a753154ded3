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
TauSim = Annotated[float, typer.Option("--tau-sim", help="Similarity an edge must exceed, in [-1, 1].")]
TauDiff = Annotated[str, typer.Option("--tau-diff", help="Event threshold: a similarity, or a percentile like p95.")]
MaxSize = Annotated[str, typer.Option("--max-size", help="Largest community: sqrt, a number, or none.")]
Split = Annotated[
    str, typer.Option("--split", help="How larger communities are divided: tree, raster, redetect, native.")
]
Resolution = Annotated[
    float, typer.Option("--resolution", help="Modularity resolution; larger gives smaller communities.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the backend.")]
Importance = Annotated[
    str,
    typer.Option(
        "--importance",
        help="Drops surplus candidates: auto, attention, difference-then-centrality, centrality, difference, norm.",
    ),
]
ProtectEvents = Annotated[bool, typer.Option("--protect-events", help="Drop event tokens only after all others.")]
Spatial = Annotated[bool, typer.Option("--spatial/--no-spatial", help="Spatial edges in the community graph.")]
Temporal = Annotated[bool, typer.Option("--temporal/--no-temporal", help="Temporal edges in the community graph.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "-p", "--param", help="Any other parameter of the selector, as name=value; repeat.", show_default=False
    ),
]
Measured = Annotated[
    str, typer.Option("--measured", help="What the ratio counts: kept, or layers (mean over the LLM's layers).")
]
Newlines = Annotated[
    str | None,
    typer.Option("--newlines", help="Newline tokens: in, out; by default as each method's authors count them."),
]
Format = Annotated[
    str | None, typer.Option("--format", help="json, csv or parquet; by default a table, or the suffix of -o.")
]
TableOrJson = Annotated[str | None, typer.Option("--format", help="json; by default a table.")]
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


def max_size(text: str) -> int | str | None:
    """--max-size as the library takes it."""
    if text == "none":
        return None
    return int(text) if text.lstrip("+-").isdecimal() else text


def tau_diff(text: str) -> float | str:
    """--tau-diff as the library takes it: a number where it reads as one."""
    try:
        return float(text)
    except ValueError:
        return text


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line, rather than at its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def parameters(pairs: list[str]) -> dict[str, Any]:
    """--param name=value as the library takes it: numbers, true, false and none where the value reads as one.

    Raises
    ------
    InputError
        no name or no equals sign
    """
    from stgraph.errors import InputError

    words = {"true": True, "false": False, "none": None}
    read: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InputError(f"--param is {pair!r}; write it as name=value")
        number = tau_diff(value)
        whole = isinstance(number, float) and value.lstrip("+-").isdecimal()
        read[name] = words.get(value.lower(), int(value) if whole else number)
    return read


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
