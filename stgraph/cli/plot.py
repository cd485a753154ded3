"""``stgraph plot``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options
from stgraph.cli.method_options import COMMUNITIES, REDUCTION, takes_method

EXAMPLES = """
stgraph plot clip.safetensors --kind process -o process.png
stgraph plot sweep.csv --kind sweep -o sweep.pdf
stgraph plot rows.csv --kind backends --where split=tree -o backends.svg
"""

OF_A_DUMP = ("process", "sizes", "similarity", "frames")
OF_ROWS = ("accuracy", "sweep", "objectives", "real-features", "backends", "selectors")


@takes_method(
    *(name for name in (*COMMUNITIES, *REDUCTION) if name not in ("spatial", "temporal")),
    "retain_ratio",
    repeatable={"backend": "lattice-components; for sizes one per objective"},
    defaults={"retain_ratio": "0.3"},
)
def command(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A dump (process, sizes, similarity, frames; without one, the bundled sample), or rows (.csv, .json, "
            ".jsonl, .parquet) of probe or eval (accuracy), sweep or probe (sweep), compare (backends), compare -s "
            "(selectors)."
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="process: frames, communities and kept tokens, as the paper's figure 4; sizes: community sizes; "
            "similarity: of neighbouring tokens; frames: kept tokens per frame; accuracy: against the ratio; sweep: "
            "over the thresholds, as figures 5 and 6; objectives, real-features: the study's; backends, selectors: a "
            "comparison.",
        ),
    ] = "process",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Figure to write: .png, .svg or .pdf.")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            help="Column to draw; repeat for one panel each. accuracy: a question family; sweep and "
            "selectors: any figure.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="Draw only rows with this value, as backend=igraph-leiden; repeatable."),
    ] = None,
    at: Annotated[list[int] | None, typer.Option("--frame", help="Frame to show (process); repeatable.")] = None,
    query: options.Query = None,
    dpi: Annotated[int, typer.Option("--dpi", min=20, max=1200, help="Pixels per inch of a PNG.")] = 160,
    encoder: options.Encoder = None,
    frames: options.Frames = None,
    quiet: options.Quiet = False,
    *,
    method: dict[str, Any],
) -> None:
    """Draw a figure of a dump or of rows with matplotlib."""
    from stgraph.bench.tables.reading import FORMATS
    from stgraph.errors import InputError
    from stgraph.files import check_writable
    from stgraph.viz.figures.style import figure_format, need_matplotlib, save_figure

    if kind not in OF_A_DUMP + OF_ROWS:
        raise InputError(f"--kind is {kind!r}; it must be one of {', '.join(OF_A_DUMP + OF_ROWS)}")
    if output is None:
        raise InputError("name the figure to write with -o, such as -o figure.png")
    figure_format(output)
    check_writable(output)
    need_matplotlib()
    if kind in OF_ROWS:
        if source is None:
            raise InputError(f"--kind {kind} needs a file of rows; name one")
        figure = _of_rows(kind, source, tuple(columns or ()), where or [], method.get("retain_ratio"))
    else:
        if source is not None and source.suffix.removeprefix(".").lower() in FORMATS:
            raise InputError(f"{source} holds rows, and --kind {kind} draws tokens; name one of {', '.join(OF_ROWS)}")
        if columns or where:
            raise InputError(f"--column and --where belong to figures of rows ({', '.join(OF_ROWS)})")
        figure = _of_dump(
            kind, method, at, lambda: options.open_tokens(source, query, encoder=encoder, frames=frames, quiet=quiet)
        )
    save_figure(figure, output, dpi)
    if not quiet:
        typer.echo(f"Wrote {output}")


def _of_rows(kind: str, source: Path, columns: tuple[str, ...], where: list[str], ratio: float | None) -> Any:
    from stgraph.bench.answers.summary import accuracy_rows
    from stgraph.bench.tables.reading import read_tables
    from stgraph.bench.tables.where import matching
    from stgraph.viz.figures.accuracy import accuracy_figure
    from stgraph.viz.figures.backends import backend_figure, selector_figure
    from stgraph.viz.figures.objectives import objective_figure
    from stgraph.viz.figures.real_features import real_feature_figure
    from stgraph.viz.figures.sweep import sweep_figure

    tables = read_tables(source)
    found = matching(tables["rows"], where)
    if kind == "accuracy":
        return accuracy_figure(accuracy_rows(found), columns or ("accuracy",))
    if kind == "sweep":
        return sweep_figure(found, columns)
    if kind == "objectives":
        return objective_figure(found)
    if kind == "real-features":
        return real_feature_figure(found)
    if kind == "selectors":
        return selector_figure(found, columns)
    return backend_figure(found, tables.get("overlap", []), ratio)


def _of_dump(
    kind: str, method: dict[str, Any], at: list[int] | None, open_tokens: Callable[[], tuple[str, Any]]
) -> Any:
    from stgraph.community.default_backend import DEFAULT_BACKEND
    from stgraph.errors import InputError
    from stgraph.pages import usual_settings
    from stgraph.selection.keeping import keep
    from stgraph.selection.settings import check_settings
    from stgraph.viz.figures.process import process_figure
    from stgraph.viz.figures.sizes import size_figure
    from stgraph.viz.figures.video import kept_per_frame_figure, similarity_figure

    backends, split, ratio = method.pop("backend", ()), method.pop("split", "tree"), method.pop("retain_ratio", 0.3)
    if kind != "sizes":
        backends = backends or (DEFAULT_BACKEND,)
        if len(backends) > 1:
            raise InputError(f"--kind {kind} shows one backend; name one with -b")
    settings = usual_settings(backends=backends, splits=(split,), parameters=method)
    check_settings(settings, (ratio,))
    _, tokens = open_tokens()
    found = [(kept.analysis, kept.selection) for kept in keep(tokens, settings, ratio)]
    analyses = [analysis for analysis, _ in found if analysis is not None]
    if kind == "sizes":
        return size_figure({one.partition.provenance.backend: one.partition for one in analyses})
    analysis, kept = analyses[0], found[0][1]
    if kind == "similarity":
        return similarity_figure(analysis.graph, analysis.event_threshold)
    return process_figure(analysis, kept, at) if kind == "process" else kept_per_frame_figure(tokens, kept)
