"""``stgraph doctor``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stgraph.cli import options

EXAMPLES = """
stgraph doctor
stgraph doctor --format json
stgraph doctor --licences
"""


def command(
    licences: Annotated[
        bool, typer.Option("--licences", help="Show the licences of installed dependencies instead.")
    ] = False,
    fmt: options.TableOrJson = None,
) -> None:
    """Show backends, selectors, installed and missing packages with how to get them, devices and threads."""
    import json

    from stgraph.cli.doctor_facts import doctor_facts
    from stgraph.errors import InputError

    if fmt not in (None, "json"):
        raise InputError(f"doctor prints a table or --format json, not {fmt!r}")
    if licences:
        _show_licences(fmt)
    elif fmt == "json":
        typer.echo(json.dumps(doctor_facts(), indent=1))
    else:
        _show(doctor_facts())


def _show(facts: dict[str, Any]) -> None:
    from rich.text import Text

    console = options.console()
    console.print(f"stgraph {facts['stgraph']}, Python {facts['python']}, {facts['platform']}")
    half = "in hardware" if facts["float16_in_hardware"] else "in software (slower)"
    console.print(f"CPU threads: {facts['cpu_threads']} (STGRAPH_NUM_THREADS); float16 is widened {half}")
    folder = facts["kernel_cache"]
    where = f"in {folder}" if folder else "nowhere: set NUMBA_CACHE_DIR to a writable folder"
    console.print(Text(options.printable(f"Compiled kernels are cached {where}")), soft_wrap=True)
    console.print(Text(options.printable(f"Tokens of videos are cached in {facts['video_cache']}")), soft_wrap=True)
    rows = [
        (
            f"{one['name']} (default)" if one["default"] else one["name"],
            *(one[key] or "" for key in ("device", "objective")),
            "" if one["seeded"] is None else "yes" if one["seeded"] else "no",
            _no(one["reason"]) if one["reason"] else f"yes, {one['package']} {one['version']}",
        )
        for one in facts["backends"]
    ]
    _table("Community backends", ("backend", "device", "objective", "seeded", "runs here"), rows)
    untried = [one["name"] for one in facts["backends"] if "cuda" in (one["not_yet_run_on"] or ())]
    console.print(Text(f"Written for a GPU and not yet run on one: {', '.join(untried)}"))
    rows = [(one["name"], _no(one["reason"]) if one["reason"] else "yes") for one in facts["splitters"]]
    _table("Splitters", ("splitter", "usable"), rows)
    rows = [
        (one["name"], _no(one["reason"]) if one["reason"] else ", ".join(one["signals"]) or "none")
        for one in facts["selectors"]
    ]
    _table("Selectors", ("selector", "signals needed besides features and grid"), rows)
    rows = [(one["name"], one["for"], "yes" if one["installed"] else _no(one["install"])) for one in facts["packages"]]
    _table("Optional packages", ("package", "for", "installed"), rows)
    rows = [(one["name"], one["for"], one["found"] or _no(one["remedy"])) for one in facts["gpu"]]
    _table("GPU", ("part", "for", "here"), rows)


def _table(title: str, heads: tuple[str, ...], rows: list[Any]) -> None:
    from rich.text import Text

    from stgraph.viz.terminal.tables import new_table

    table = new_table(title)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(options.printable(cell)) for cell in row))
    options.console().print(table)


def _no(reason: str) -> Any:
    """The reason something cannot be used, as a table cell."""
    from rich.text import Text

    return Text(options.printable(f"no: {reason}"), style="yellow")


def _show_licences(fmt: str | None) -> None:
    import json

    from rich.text import Text

    from stgraph.cli.licences import licences
    from stgraph.viz.terminal.tables import new_table

    console = options.console()
    found = licences()
    if fmt == "json":
        typer.echo(json.dumps([one._asdict() for one in found], indent=1))
        return
    table = new_table("Licences, as the packages state them")
    for title in ("package", "version", "needed by", "licence", "copyleft"):
        table.add_column(title, overflow="fold")
    for one in found:
        texts = (one.package, one.version, one.needed_by, one.licence, one.copyleft)
        table.add_row(*(Text(options.printable(text), style="yellow" if one.copyleft else "") for text in texts))
    console.print(table)
    names = ", ".join(one.package for one in found if one.copyleft) or "none"
    console.print(f"{len(found)} packages; under a copyleft licence, or carrying one: {names}", soft_wrap=True)
