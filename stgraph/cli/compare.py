"""``stgraph compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results
from stgraph.cli.method_options import COMMUNITIES, REDUCTION, takes_method

EXAMPLES = """
stgraph compare clip.safetensors --html report.html
stgraph compare clip.safetensors -b lattice-components -b igraph-leiden --split tree --split raster
stgraph compare clip.safetensors -s all -r 0.1 -o rows.csv
"""


@takes_method(
    *(name for name in (*COMMUNITIES, *REDUCTION) if name not in ("split", "seed")),
    *("measured", "newlines"),
    repeatable={
        "backend": "all that run here",
        "retain_ratio": "0.1 0.3 0.5",
        "split": "tree",
        "seed": "0 1 2",
    },
)
def command(
    dumps: Annotated[
        list[Path] | None, typer.Argument(help="Token dumps; without one, the bundled sample.", show_default=False)
    ] = None,
    selectors: Annotated[
        list[str] | None,
        typer.Option(
            "-s",
            "--selector",
            "--selectors",
            help="Compare selectors instead of backends: all, or a name; repeatable.",
            show_default=False,
        ),
    ] = None,
    fidelity: Annotated[
        bool, typer.Option("--fidelity/--no-fidelity", help="Nearest-kept-token figures; time grows with N squared.")
    ] = True,
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
    *,
    method: dict[str, Any],
) -> None:
    """Run every community backend on the same tokens and show what each choice lets a VLM see.

    With --selector, run the selectors instead: all whose signals the dump carries, or those named.
    """
    from stgraph.errors import InputError

    options.check_device(device)
    chosen = results.check_output(output, fmt)
    if html is not None:
        from stgraph.files import check_writable

        check_writable(html)
    if query is not None and len(dumps or ()) > 1:
        raise InputError("--query belongs to one dump; compare one at a time")
    plan: dict[str, Any] = {
        "backends": method.pop("backend", ()),
        "retain_ratios": method.pop("retain_ratio", (0.1, 0.3, 0.5)),
        "seeds": method.pop("seed", (0, 1, 2)),
        "fidelity": fidelity,
    }
    run, show, kept = _backends(plan, method) if selectors is None else _selectors(selectors, plan, method)
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


def _backends(plan: dict[str, Any], method: dict[str, Any]) -> tuple[Any, Any, Any]:
    """How to compare backends, how to show it, and how to get the kept tokens for a page.

    Every name and number is checked here, before a dump is read.
    """
    from functools import partial

    from stgraph.bench.compare import ComparePlan, compare_backends
    from stgraph.cli.report import kept_by_backends
    from stgraph.errors import InputError
    from stgraph.viz.comparison import comparison_tables

    if "measured" in method or "newlines" in method:
        raise InputError("--measured and --newlines belong to --selector; leave them out to compare backends")
    checked = ComparePlan(**plan, splits=method.pop("split", ("tree",)), options=method)
    checked.selectors()
    return partial(compare_backends, plan=checked), comparison_tables, partial(kept_by_backends, plan=checked)


def _selectors(names: list[str], plan: dict[str, Any], method: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The same for selectors."""
    from functools import partial

    from stgraph.bench.compare_selectors import compare_selectors
    from stgraph.bench.selector_plan import SelectorPlan
    from stgraph.cli.report import kept_by_selectors
    from stgraph.errors import InputError
    from stgraph.viz.selector_comparison import selector_tables

    splits = method.pop("split", ("tree",))
    if len(splits) > 1:
        raise InputError("--selector takes one --split")
    chosen = [name.strip() for text in names for name in text.split(",")]
    checked = SelectorPlan(
        **plan,
        **{name: method.pop(name) for name in ("measured", "newlines") if name in method},
        **({"tau_diff": method["tau_diff"]} if "tau_diff" in method else {}),
        selectors=() if "all" in chosen else tuple(chosen),
        options={**method, "split": splits[0]},
    )
    checked.variants()
    return partial(compare_selectors, plan=checked), selector_tables, partial(kept_by_selectors, plan=checked)


def _show(name: str, tokens: Any, tables: Any) -> None:
    console = options.console()
    title = tokens.metadata.get("title")
    console.print("\n" + options.printable(f"{name}: {title}" if title else name), style="bold", markup=False)
    console.print(options.printable(tokens), markup=False)
    console.print(tables)
