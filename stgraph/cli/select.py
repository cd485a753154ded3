"""``stgraph select``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options
from stgraph.cli.method_options import COMMUNITIES, REDUCTION, takes_method
from stgraph.cli.selection_report import tell_facts, tell_table

EXAMPLES = """
stgraph select clip.safetensors -r 0.2 -o kept.safetensors
stgraph select clip.safetensors -s framefusion -n 1024
stgraph select clip.safetensors -s sttm -p tau_s=0.8 --format json
"""


@takes_method(
    *COMMUNITIES,
    *REDUCTION,
    *("selector", "retain_ratio", "backend", "preset", "measured", "newlines", "param"),
    defaults={"selector": "st-simdiff", "retain_ratio": "0.3"},
)
def command(
    dump: options.Dump = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the kept tokens as a dump.")] = None,
    query: options.Query = None,
    n_keep: Annotated[
        int | None, typer.Option("-n", "--n-keep", help="Number of tokens to keep, instead of a ratio.")
    ] = None,
    device: options.Device = "cpu",
    fmt: options.TableOrJson = None,
    encoder: options.Encoder = None,
    frames: options.Frames = None,
    quiet: options.Quiet = False,
    *,
    method: dict[str, Any],
) -> None:
    """Select tokens, show how many are kept per frame and why, and write them as a dump.

    Options from --backend on are for st-simdiff and its variants; -p sets a parameter of any selector.
    """

    import stgraph
    from stgraph.bench.warm_up import warm_up
    from stgraph.errors import InputError
    from stgraph.files import check_not_input, check_suffix, check_writable

    options.check_device(device)
    if fmt not in (None, "json"):
        raise InputError(f"select prints a table or --format json, not {fmt!r}")
    if output is not None:
        check_suffix(output, (".safetensors",), "a dump")
        check_writable(output)
        check_not_input(output, dump, query)
    name = method.pop("selector", "st-simdiff")
    if n_keep is None:
        method.setdefault("retain_ratio", 0.3)
    chosen = stgraph.selector(name, n_keep=n_keep, **method)
    source, tokens = options.open_tokens(dump, query, encoder=encoder, frames=frames, quiet=quiet)
    warm_up([chosen], tokens.features.dtype, device, tokens.signals)
    kept = chosen.select(tokens.to(device)).to("cpu")
    if output is not None:
        kept.save(output, tokens)
    if fmt == "json":
        tell_facts(source, kept)
        return
    if quiet:
        return
    tell_table(source, kept)
    if output is not None:
        typer.echo(f"Wrote {output}")
