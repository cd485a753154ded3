"""``stgraph compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results


def command(
    dumps: Annotated[
        list[Path] | None, typer.Argument(help="Token dumps; without one, the bundled sample.", show_default=False)
    ] = None,
    selectors: Annotated[
        str | None,
        typer.Option(
            "--selectors",
            help="Compare selectors instead of backends: all, or names with commas between.",
            show_default=False,
        ),
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "-b", "--backend", help="Backend to compare; repeat. Default: all that run here.", show_default=False
        ),
    ] = None,
    ratios: Annotated[
        list[float] | None,
        typer.Option(
            "-r", "--retain-ratio", help="Share of tokens to keep; repeat. Default: 0.1 0.3 0.5.", show_default=False
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds for what draws at random.")] = 3,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            help="Splitter; repeat to compare: tree, raster, redetect, native. Default: tree.",
            show_default=False,
        ),
    ] = None,
    tau_sim: options.TauSim = 0.8,
    tau_diff: options.TauDiff = "0.2",
    max_size: options.MaxSize = "sqrt",
    resolution: options.Resolution = 1.0,
    importance: options.Importance = "auto",
    protect_events: options.ProtectEvents = False,
    spatial: options.Spatial = True,
    temporal: options.Temporal = True,
    fidelity: Annotated[
        bool, typer.Option("--fidelity/--no-fidelity", help="Nearest-kept-token figures; time grows with N squared.")
    ] = True,
    measured: options.Measured = "kept",
    newlines: options.Newlines = None,
    device: options.Device = "cpu",
    fmt: options.Format = None,
    output: options.Output = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="Write tables, charts and thumbnails of the kept tokens to this page, which works offline.",
            show_default=False,
        ),
    ] = None,
    query: options.Query = None,
    quiet: options.Quiet = False,
) -> None:
    """Run every community backend on the same tokens and show what each choice lets a VLM see.

    With --selectors, run the selectors instead: all whose signals the dump carries, or those named.
    """
    from stgraph.errors import InputError

    options.check_device(device)
    chosen = results.check_output(output, fmt)
    if html is not None:
        from stgraph.bench.rows import check_writable

        check_writable(html)
    if query is not None and len(dumps or ()) > 1:
        raise InputError("--query belongs to one dump; compare one at a time")
    thresholds = {
        "tau_sim": tau_sim,
        "tau_diff": options.tau_diff(tau_diff),
        "max_size": options.max_size(max_size),
        "resolution": resolution,
        "importance": importance,
        "protect_events": protect_events,
        "spatial": spatial,
        "temporal": temporal,
    }
    axes: dict[str, Any] = {
        "backends": tuple(backends or ()),
        "retain_ratios": tuple(ratios or (0.1, 0.3, 0.5)),
        "seeds": tuple(range(seeds)),
        "fidelity": fidelity,
    }
    run, show, kept = (
        _backends({**axes, "splits": tuple(splits or ("tree",)), "options": thresholds}, measured, newlines)
        if selectors is None
        else _selectors(selectors, {**axes, "measured": measured, "newlines": newlines}, thresholds, splits)
    )
    inputs = [options.open_tokens(path, query) for path in dumps] if dumps else [options.open_tokens(None, query)]
    tables: dict[str, list[dict[str, Any]]] = {}
    pages = []
    for name, tokens in inputs:
        with options.progress_bar(quiet) as progress:
            result = run(tokens, dump=name, progress=progress, device=device)
        found = vars(result)
        for table, rows in found.items():
            if rows or table != "skipped":
                tables.setdefault(table, []).extend(rows)
        if results.wants_table(output, chosen, quiet):
            _show(name, tokens, show(*found.values()))
        if html is not None:
            from stgraph.viz.report import Compared

            with options.progress_bar(quiet) as progress:
                pages.append(Compared(name, tokens, **found, kept=kept(tokens, found["rows"], progress)))
    results.deliver(tables, output, chosen, quiet)
    if html is not None:
        from stgraph.viz.report import save_report

        save_report(html, pages)
        if results.wants_table(output, chosen, quiet):
            typer.echo(f"Wrote {html}; open it in a browser")


def _backends(plan: dict[str, Any], measured: str, newlines: str | None) -> tuple[Any, Any, Any]:
    """How to compare backends, how to show it, and how to get the kept tokens for a page.

    Every name and number is checked here, before a dump is read.
    """
    from functools import partial

    from stgraph.bench.compare import ComparePlan, compare_backends
    from stgraph.cli.report import kept_by_backends
    from stgraph.errors import InputError
    from stgraph.viz.comparison import comparison_tables

    if measured != "kept" or newlines is not None:
        raise InputError("--measured and --newlines belong to --selectors; leave them out to compare backends")
    checked = ComparePlan(**plan)
    checked.selectors()
    return partial(compare_backends, plan=checked), comparison_tables, partial(kept_by_backends, plan=checked)


def _selectors(
    names: str, plan: dict[str, Any], thresholds: dict[str, Any], splits: list[str] | None
) -> tuple[Any, Any, Any]:
    """The same for selectors."""
    from functools import partial

    from stgraph.bench.compare_selectors import compare_selectors
    from stgraph.bench.selector_plan import SelectorPlan
    from stgraph.cli.report import kept_by_selectors
    from stgraph.errors import InputError
    from stgraph.viz.selector_comparison import selector_tables

    if len(splits or ()) > 1:
        raise InputError("--selectors takes one --split")
    checked = SelectorPlan(
        **plan,
        selectors=() if names == "all" else tuple(name.strip() for name in names.split(",")),
        tau_diff=thresholds["tau_diff"],
        options={**thresholds, "split": splits[0] if splits else "tree"},
    )
    checked.variants()
    return partial(compare_selectors, plan=checked), selector_tables, partial(kept_by_selectors, plan=checked)


def _show(name: str, tokens: Any, tables: Any) -> None:
    console = options.console()
    title = tokens.metadata.get("title")
    console.print("\n" + options.printable(f"{name}: {title}" if title else name), style="bold", markup=False)
    console.print(options.printable(tokens), markup=False)
    console.print(tables)
