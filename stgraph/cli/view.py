"""``stgraph view``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options
from stgraph.cli.method_options import COMMUNITIES, REDUCTION, takes_method

EXAMPLES = """
stgraph view clip.safetensors -o page.html
stgraph view clip.safetensors -s st-simdiff -s evs -s framefusion -b lattice-components --split tree
stgraph view clip.safetensors -s all -b lattice-components --split tree
stgraph view clip.safetensors -b igraph-leiden --split tree -r 0.1 -r 0.3
"""


@takes_method(
    "param",
    *COMMUNITIES,
    *REDUCTION,
    repeatable={
        "selector": "st-simdiff",
        "backend": "one per objective",
        "split": "tree raster redetect",
        "retain_ratio": "0.1 0.2 0.3 0.5 0.7",
    },
)
def command(
    dump: options.Dump = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Page to write.")] = Path("stgraph-view.html"),
    query: options.Query = None,
    encoder: options.Encoder = None,
    frames: options.Frames = None,
    quiet: options.Quiet = False,
    *,
    method: dict[str, Any],
) -> None:
    """Write one interactive page: frames, communities, kept tokens and why, for every setting and ratio.

    The page is one file that works offline; open it in any browser.
    """
    from stgraph.container import kind_of_dump
    from stgraph.errors import InputError
    from stgraph.files import check_suffix, check_writable
    from stgraph.pages import USUAL_RATIOS, USUAL_SPLITS, usual_settings, view, view_selection
    from stgraph.selection.settings import can_select, check_settings
    from stgraph.viz.pages.shown import shown

    check_suffix(output, (".html", ".htm"), "a page")
    check_writable(output)
    if dump is not None and kind_of_dump(dump) == "selection":
        if query is not None or method or encoder is not None or frames is not None:
            raise InputError(f"{dump} is a selection, which takes no option of tokens or methods; leave them out")
        view_selection(dump).save(output)
        if not quiet:
            typer.echo(f"Wrote {output}: the selection alone, without similarities; open it in a browser")
        return
    names, ratios = method.pop("selector", ("st-simdiff",)), method.pop("retain_ratio", USUAL_RATIOS)
    backends, splits = method.pop("backend", ()), method.pop("split", USUAL_SPLITS)
    settings = usual_settings(names, backends, splits, method)
    check_settings(settings, ratios)
    name, tokens = options.open_tokens(dump, query, encoder=encoder, frames=frames, quiet=quiet)
    if "all" in names:
        settings = [one for one in settings if can_select(one, tokens)]
    with options.progress_bar(quiet) as progress:
        page = view(tokens, settings, ratios, name=name, progress=progress)
        page.save(output)
    if not quiet:
        first = shown(page.kept)[0]
        typer.echo(f"{first.name}: {first.finding()}")
        size = output.stat().st_size / 1e6
        word = "setting" if len(settings) == 1 else "settings"
        typer.echo(f"Wrote {output} ({size:.1f} MB, {len(settings)} {word}); open it in a browser")
