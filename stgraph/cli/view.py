"""``stgraph view``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options
from stgraph.cli.method_options import COMMUNITIES, REDUCTION, takes_method

EXAMPLES = """
stgraph view clip.safetensors -o page.html
stgraph view clip.safetensors -b igraph-leiden --split tree -r 0.1 -r 0.3
"""


@takes_method(
    *(name for name in (*COMMUNITIES, *REDUCTION) if name != "split"),
    repeatable={
        "backend": "components, Louvain and two Leidens",
        "split": "tree raster redetect",
        "retain_ratio": "0.1 0.2 0.3 0.5 0.7",
    },
)
def command(
    dump: options.Dump = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path("stgraph-view.html"),
    query: options.Query = None,
    quiet: options.Quiet = False,
    *,
    method: dict[str, Any],
) -> None:
    """Write one interactive page: frames, communities, kept tokens and why, for every backend, splitter and ratio.

    The page is one file that works offline; open it in any browser.
    """
    from stgraph.cli.settings import computed, planned
    from stgraph.files import check_suffix, check_writable

    check_suffix(output, (".html", ".htm"), "a page")
    check_writable(output)
    backends, splits = method.pop("backend", ()), method.pop("split", ("tree", "raster", "redetect"))
    chosen = method.pop("retain_ratio", (0.1, 0.2, 0.3, 0.5, 0.7))
    selectors = planned(backends, splits, chosen, method)
    name, tokens = options.open_tokens(dump, query)
    from stgraph.viz.view import save_view

    with options.progress_bar(quiet) as progress:
        settings = computed(tokens, selectors, chosen, progress)
        save_view(output, tokens, settings, name=name)
    if not quiet:
        for setting in settings[:1]:
            typer.echo(f"{setting.backend}: {setting.finding()}")
        size = output.stat().st_size / 1e6
        typer.echo(f"Wrote {output} ({size:.1f} MB, {len(settings)} settings); open it in a browser")
