"""``stgraph cache``."""

from __future__ import annotations

from typing import Annotated

import typer

from stgraph.cli import options

EXAMPLES = """
stgraph cache
stgraph cache --clear
"""


def command(
    clear: Annotated[bool, typer.Option("--clear", help="Empty the cache.")] = False,
    fmt: options.TableOrJson = None,
    quiet: options.Quiet = False,
) -> None:
    """Show or clear the cached tokens of videos opened without a dump, which make opening them again fast."""
    import json

    from stgraph.errors import InputError
    from stgraph.video.cache import ENVIRONMENT, LIMIT_BYTES, cache_folder, entries
    from stgraph.video.cache import clear as empty

    if fmt not in (None, "json"):
        raise InputError(f"cache prints a table or --format json, not {fmt!r}")
    freed = empty() if clear else 0
    folder, found = cache_folder(), entries()
    total = sum(one.n_bytes for one in found)
    if fmt == "json":
        rows = [
            {"file": str(e.path), "bytes": e.n_bytes, "video": e.video, "encoder": e.encoder, "n_frames": e.n_frames}
            for e in found
        ]
        typer.echo(json.dumps({"folder": str(folder), "bytes": total, "freed_bytes": freed, "entries": rows}, indent=1))
        return
    if quiet:
        return
    if clear:
        typer.echo(f"Cleared {options.printable(folder)}: {freed / 1e6:,.1f} MB freed")
        return
    from rich.text import Text

    from stgraph.viz.terminal.tables import new_table

    if found:
        table = new_table("Cached tokens of videos, last used first")
        for title in ("video", "encoder"):
            table.add_column(title, overflow="fold")
        for title in ("frames", "MB"):
            table.add_column(title, justify="right")
        for one in found:
            facts = (Text(options.printable(one.video)), Text(options.printable(one.encoder)))
            table.add_row(*facts, f"{one.n_frames:,}", f"{one.n_bytes / 1e6:,.1f}")
        options.console().print(table)
    typer.echo(
        f"{total / 1e6:,.1f} MB of at most {LIMIT_BYTES / 1e6:,.0f} in {options.printable(folder)} ({ENVIRONMENT} sets "
        "another folder)"
    )
