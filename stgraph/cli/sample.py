"""``stgraph sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stgraph.cli import options

EXAMPLES = """
stgraph sample -o sample.safetensors
"""


def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="Dump to write.")] = Path("sample.safetensors"),
    synthetic: Annotated[
        bool,
        typer.Option(
            "--synthetic-signals", help="Add made-up encoder and LLM signals to try every selector (not for findings)."
        ),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the bundled dump: 40 s of Big Buck Bunny as 10,240 real visual tokens, with thumbnails and shot cuts."""
    import stgraph

    tokens = stgraph.sample()
    if synthetic:
        from stgraph.bench.synthetic import synthetic_signals

        tokens = synthetic_signals(tokens)
    tokens.save(output)
    if quiet:
        return
    typer.echo(f"Wrote {output}: {tokens}")
    typer.echo(f"{tokens.metadata['source']}, {tokens.metadata['copyright']}, {tokens.metadata['licence']}")
