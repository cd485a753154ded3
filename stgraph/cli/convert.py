"""``stgraph convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options

EXAMPLES = """
stgraph convert LLaVA-Video-7B-Qwen2/ llava-video-hf/
stgraph convert LLaVA-Video-7B-Qwen2/ llava-video-average/ --pooling average
stgraph convert NVILA-8B/ nvila-hf/ --dtype bfloat16
"""


def command(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="LLaVA-Video or NVILA in its authors' layout: a folder, or its name on the hub.", metavar="IN"
        ),
    ],
    output: Annotated[Path, typer.Argument(help="Output folder; new or empty.", metavar="OUT")],
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float32, float16 or bfloat16; default: as stored.")
    ] = None,
    pooling: options.Pooling = None,
    tower_heads: Annotated[
        int | None,
        typer.Option(
            "--tower-heads", min=1, help="Attention heads of LLaVA-Video's vision tower, if it is not one of SigLIP's."
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Write a checkpoint in its authors' layout as a folder that transformers' from_pretrained reads.

    Other commands read both layouts directly (--model).
    """
    from stgraph.vlm.checkpoints.conversion import convert

    given: dict[str, Any] = {} if pooling is None else {"pooling": pooling}
    if tower_heads is not None:
        given["vision"] = {"num_attention_heads": tower_heads}
    made = convert(checkpoint, output, dtype=dtype, **given)
    if quiet:
        return
    typer.echo(f"Wrote {made.folder}: {made.n_weights:,} weights in {made.n_files:,} safetensors")
    if not made.has_processor:
        typer.echo("The checkpoint holds no tokenizer, so that no processor was written")
    if made.needs_code:
        typer.echo(
            "Transformers' own class reads its videos otherwise: load it with trust_remote_code=True, which takes the "
            "classes that lie beside the weights, or with stgraph.vlm.load"
        )
