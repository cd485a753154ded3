"""``stgraph selectors``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stgraph.cli import options

EXAMPLES = """
stgraph selectors
stgraph selectors divprune
stgraph selectors --format json
"""


def command(
    name: Annotated[str | None, typer.Argument(help="One selector, with its parameters; default: all.")] = None,
    fmt: options.TableOrJson = None,
    quiet: options.Quiet = False,
) -> None:
    """Show the selectors: paper, signals they need, where they cut, and each parameter of one."""
    import json

    from stgraph.errors import InputError
    from stgraph.selection.base import SELECTORS
    from stgraph.selection.catalogue import catalogue, describe

    if fmt not in (None, "json"):
        raise InputError(f"selectors prints a table or --format json, not {fmt!r}")
    one = None if name is None else describe(name)
    found = catalogue() if one is None else [one]
    if fmt == "json":
        rows = [_strict(description.to_dict()) for description in found]
        typer.echo(json.dumps(rows if one is None else rows[0], indent=1))
        return
    if quiet:
        return
    from rich.text import Text

    from stgraph.viz.catalogue import parameter_table, selector_table

    console = options.console()
    if one is not None:
        console.print(Text(options.printable(one.summary)))
        console.print()
    console.print(selector_table([description.to_dict() for description in found]))
    if one is not None:
        console.print(parameter_table(one.to_dict()["parameters"]))
        return
    faults = {other: SELECTORS.fault(other) for other in SELECTORS.names()} | dict(SELECTORS.refused())
    for other, reason in faults.items():
        if reason:
            console.print(Text(options.printable(f"{other}: {reason}"), style="yellow"))


def _strict(value: Any) -> Any:
    """A value for JSON: mappings and lists of plain values, anything else as text."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): _strict(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
