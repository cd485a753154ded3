"""``stgraph sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the dump.")] = Path(
        "sample.safetensors"
    ),
) -> None:
    """Write the bundled dump: 40 s of Big Buck Bunny as 10,240 real visual tokens, with frames and shot cuts."""
    import stgraph

    tokens = stgraph.sample()
    tokens.save(output)
    typer.echo(f"Wrote {output}: {tokens}")
    typer.echo(f"{tokens.metadata['source']}, {tokens.metadata['copyright']}, {tokens.metadata['licence']}")
