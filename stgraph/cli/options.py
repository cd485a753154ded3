"""Shared arguments and options of commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stgraph.aliases import Progress
    from stgraph.tokens import VideoTokens

_MINUTE = 60.0
INPUT = "A token dump (.safetensors), a video, or an array (.npy, .npz, .pt); without one, the bundled sample."
Dump = Annotated[Path | None, typer.Argument(help=INPUT)]
Dumps = Annotated[list[Path] | None, typer.Argument(help=INPUT.replace("; without", ", and more; without"))]
Encoder = Annotated[
    str | None,
    typer.Option(
        "-e",
        "--encoder",
        help="For a video: patches (needs no weights), or hf:NAME_OR_PATH of a vision backbone.  [default: patches]",
    ),
]
Frames = Annotated[
    int | None,
    typer.Option("--frames", help="For a video: number of frames to take.  [default: 64, or all there are]"),
]
Query = Annotated[Path | None, typer.Option("--query", help="Query file with prompt-dependent signals.")]
Format = Annotated[
    str | None, typer.Option("--format", help="json, csv or parquet; default: a table, or by the suffix of -o.")
]
TableOrJson = Annotated[str | None, typer.Option("--format", help="json; default: a table.")]
RowFormat = Annotated[
    str | None, typer.Option("--format", help="csv, parquet or jsonl; default: a table, or by the suffix of -o.")
]
RowFile = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="Write rows to this file (.csv, .parquet, .jsonl); existing rows are not recomputed."
    ),
]
Restart = Annotated[bool, typer.Option("--restart", help="Replace the output file instead of resuming.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write rows to this file.")]
Pooling = Annotated[
    str | None,
    typer.Option(
        "--pooling", help="bilinear, average or max, of LLaVA-Video's frames; default: as its config.json says."
    ),
]
Device = Annotated[str, typer.Option("--device", help="Device: cpu, or cuda (cuda:1, ...).")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no table; only requested output.")]


def open_tokens(
    dump: Path | None,
    query: Path | None = None,
    *,
    encoder: str | None = None,
    frames: int | None = None,
    quiet: bool = False,
) -> tuple[str, VideoTokens]:
    """(name, tokens) from a dump, a video, an array file, or the bundled sample."""
    import stgraph
    from stgraph.errors import InputError
    from stgraph.vlm.opening import is_video

    given = {"--query": query, "--encoder": encoder, "--frames": frames}
    kinds = {"--query": "dump", "--encoder": "video", "--frames": "video"}
    name = address(dump) if dump is not None else ""
    if dump is None or not is_video(name):
        for option, value in given.items():
            if value is not None and dump is None:
                raise InputError(f"{option} needs its {kinds[option]}; name both")
            if value is not None and option != "--query":
                raise InputError(f"{option} belongs to videos, but {dump} is not one; leave it out")
        return ("sample", stgraph.sample()) if dump is None else (printable(dump), stgraph.load(dump, query))
    if query is not None:
        raise InputError(f"--query belongs to a token dump, but {dump} is a video; make both with stgraph dump --model")
    with progress_bar(quiet) as progress:
        tokens = stgraph.load(dump, encoder=encoder, frames=frames, progress=progress)
    if not quiet:
        what = "colour and gradients (encoder patches)" if encoder in (None, "patches") else f"the encoder {encoder}"
        text = f"{dump}: {tokens.grid.T} frames, described by {what}; these are not the features of a VLM"
        typer.echo(printable(text), err=True)
    return printable(dump), tokens


def check_device(device: str) -> None:
    """Raise if ``device`` cannot be used here, before a dump is read."""
    import numpy as np

    from stgraph.devices import to_device

    to_device(np.zeros(1), device)


def address(path: Path) -> str:
    """The path as typed, if it was a URL, whose double slash a Path collapses."""
    head, colon, rest = str(path).partition(":/")
    return f"{head}://{rest}" if colon and len(head) > 1 and not rest.startswith("/") else str(path)


def printable(value: object) -> str:
    """Text from a file, with control characters escaped: a dump must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def console() -> Any:
    """The console for tables, wide enough for them if the output is not a terminal."""
    from rich.console import Console

    class Piped(Console):
        """Console for output that is not a terminal: without trailing spaces."""

        def print(self, *objects: Any, **given: Any) -> None:
            with self.capture() as captured:
                super().print(*objects, **given)
            lines = (line.rstrip() for line in captured.get().split("\n"))
            self.file.write("\n".join(lines))

    made = Console(highlight=False)
    if made.is_terminal:
        return made
    return Piped(highlight=False) if "COLUMNS" in os.environ else Piped(highlight=False, width=110)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Any]:
    """A callable (label, share) that moves a bar on stderr, or prints one line per minute if stderr is not a terminal;
    silent with --quiet."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<40}", markup=False), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(quiet)
        return
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda label, share: bar.update(task, description=printable(label), completed=share)


def _lines(quiet: bool) -> Progress:
    """A callable (label, share) that prints progress once per minute, for log files."""
    last = monotonic()

    def tell(label: str, share: float) -> None:
        nonlocal last
        if not quiet and monotonic() - last >= _MINUTE:
            last = monotonic()
            typer.echo(f"{100 * share:.0f} %: {printable(label)}", err=True)

    return tell
