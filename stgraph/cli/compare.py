"""``stgraph compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results
from stgraph.cli.method_options import COMMUNITIES, REDUCTION, takes_method

# Options that no selector has to take: of the budget and of events, and a seed, which deterministic ones do not need.
_OF_ALL = ("measured", "newlines", "tau_diff", "seed")

EXAMPLES = """
stgraph compare clip.safetensors --html report.html
stgraph compare clip.safetensors -b lattice-components -b igraph-leiden --split tree --split raster
stgraph compare clip.safetensors -s all -r 0.1 -o rows.csv
stgraph compare clip.safetensors -s sttm -s visionzip -p attention=received
"""


@takes_method(
    *COMMUNITIES,
    *REDUCTION,
    *("measured", "newlines", "param"),
    repeatable={
        "backend": "one per objective; all: every one that runs here",
        "retain_ratio": "0.1 0.3 0.5",
        "split": "tree",
        "seed": "0 1 2",
    },
)
def command(
    dumps: options.Dumps = None,
    selectors: Annotated[
        list[str] | None,
        typer.Option(
            "-s", "--selector", "--selectors", help="Compare selectors instead of backends: all, or a name; repeatable."
        ),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            "--llm",
            help="With --selector: the LLM whose FLOPs are counted, by name or by its config.json.  "
            "[default: qwen2-7b]",
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
            "--html", help="Write tables, charts and thumbnails of the kept tokens to this self-contained page."
        ),
    ] = None,
    query: options.Query = None,
    encoder: options.Encoder = None,
    frames: options.Frames = None,
    quiet: options.Quiet = False,
    *,
    method: dict[str, Any],
) -> None:
    """Run every community backend on the same tokens and show what each choice lets a VLM see.

    With --selector, run the selectors instead: all whose signals the dump carries, or those named. Method options go to
    the selectors that accept them.
    """
    from stgraph.errors import InputError

    options.check_device(device)
    chosen = results.check_output(output, fmt)
    if html is not None:
        from stgraph.files import check_suffix, check_writable

        check_suffix(html, (".html", ".htm"), "a page")
        check_writable(html)
    if query is not None and len(dumps or ()) > 1:
        raise InputError("--query belongs to one dump; compare one at a time")
    if llm is not None and selectors is None:
        raise InputError("--llm belongs to --selector; backends keep the same number of tokens, and cost the same")
    ratios = method.pop("retain_ratio", (0.1, 0.3, 0.5))
    run, show = _backends(ratios, method) if selectors is None else _selectors(selectors, ratios, method, llm)
    video: dict[str, Any] = {"encoder": encoder, "frames": frames, "quiet": quiet}
    inputs = [options.open_tokens(path, query, **video) for path in dumps or (None,)]
    tables: dict[str, list[dict[str, Any]]] = {}
    pages = []
    for name, tokens in inputs:
        with options.progress_bar(quiet) as progress:
            found = run(tokens, dump=name, progress=progress, device=device, fidelity=fidelity)
        for table, rows in found.tables.items():
            tables.setdefault(table, []).extend(rows)
        if results.wants_table(output, chosen, quiet):
            _show(name, tokens, show(found, meanings=len(inputs) == 1))
        if html is not None:
            from stgraph.viz.pages.report import Compared

            pages.append(Compared.of(name, tokens, found.rows, found.overlap, found.skipped, found.kept))
    if len(inputs) > 1 and results.wants_table(output, chosen, quiet):
        _show_all(tables["rows"], len(inputs))
    results.deliver(tables, output, chosen, quiet)
    if html is not None:
        from stgraph.viz.pages.report import save_report

        save_report(html, pages)
        if results.wants_table(output, chosen, quiet):
            typer.echo(f"Wrote {html}; open it in a browser")


def _backends(ratios: tuple[float, ...], method: dict[str, Any]) -> tuple[Any, Any]:
    """Backend comparison and its display; every name and number is checked here, before a dump is read."""
    from functools import partial

    from stgraph.bench.compare import compare_backends
    from stgraph.errors import InputError
    from stgraph.selection.settings import backend_settings, check_settings
    from stgraph.viz.terminal.comparison import comparison_tables

    if "measured" in method or "newlines" in method:
        raise InputError("--measured and --newlines belong to --selector; leave them out to compare backends")
    backends, splits, seeds = _axes(method)
    settings = backend_settings(backends, splits, seeds, method)
    check_settings(settings, ratios)
    compare = partial(compare_backends, settings=settings, ratios=ratios)
    return compare, partial(_tables, comparison_tables, of_selectors=False)


def _selectors(names: list[str], ratios: tuple[float, ...], method: dict[str, Any], llm: str | None) -> tuple[Any, Any]:
    """Selector comparison and its display; selectors that drop tokens inside the LLM are told its layers."""
    from functools import partial

    from stgraph.bench.compare_selectors import compare_selectors
    from stgraph.errors import InputError
    from stgraph.selection.base import SELECTORS
    from stgraph.selection.prefill_flops import DEFAULT_LLM, shape_named
    from stgraph.selection.settings import check_parameters, check_settings, selector_settings
    from stgraph.viz.terminal.selector_comparison import selector_tables

    chosen = [name.strip() for text in names for name in text.split(",")]
    named = () if "all" in chosen else tuple(chosen)
    check_parameters(named or SELECTORS.usable(), (name for name in method if name not in _OF_ALL))
    backends, splits, seeds = _axes(method)
    if len(splits) > 1:
        raise InputError("--selector takes one --split")
    if llm is not None:
        method.setdefault("n_layers", shape_named(llm).n_layers)
    budget: dict[str, Any] = {name: method.pop(name) for name in ("measured", "newlines") if name in method}
    settings = selector_settings(named, backends, seeds, {**method, "split": splits[0]})
    check_settings(settings, ratios, **budget)
    events = {"tau_diff": method["tau_diff"]} if "tau_diff" in method else {}
    asked: dict[str, Any] = {"llm": llm or DEFAULT_LLM, **budget, **events}
    compare = partial(compare_selectors, settings=settings, ratios=ratios, skip=not named, **asked)
    defaults = {s.selector: s.get("backend") for s in settings if "backend" not in s.parameters and s.get("backend")}
    return compare, partial(_tables, partial(selector_tables, defaults=defaults), of_selectors=True)


def _axes(method: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Backends, splitters and seeds, removed from the other parameters."""
    return method.pop("backend", ()), method.pop("split", ("tree",)), method.pop("seed", (0, 1, 2))


def _tables(tables: Any, found: Any, *, meanings: bool, of_selectors: bool) -> Any:
    skipped = (found.skipped,) if of_selectors else ()
    return tables(found.rows, found.overlap, *skipped, meanings=meanings)


def _show_all(rows: list[dict[str, Any]], n_dumps: int) -> None:
    """Means over several dumps, and what all columns mean."""
    from stgraph.viz.columns import ARROWS, legend
    from stgraph.viz.pages.report import summary_tables
    from stgraph.viz.terminal.selector_comparison import MARKS

    console = options.console()
    of_selectors = "selector" in rows[0]
    made = summary_tables(rows, n_dumps)
    console.print(f"\nAll {n_dumps} dumps", style="bold")
    for table in made:
        console.print()
        console.print(table.on_terminal("selector" if of_selectors else "backend"))
    meaning = legend(dict.fromkeys(name for table in made for name in table.columns))
    marks = f"{MARKS}\n" if of_selectors else ""
    console.print(f"\n{marks}{ARROWS}\n{meaning}", markup=False)


def _show(name: str, tokens: Any, tables: Any) -> None:
    console = options.console()
    title = tokens.metadata.get("title")
    console.print("\n" + options.printable(f"{name}: {title}" if title else name), style="bold", markup=False)
    console.print(options.printable(tokens), markup=False)
    console.print(tables)
