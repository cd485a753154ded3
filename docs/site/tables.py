"""Tables of selectors, backends and splitters, read off the classes."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from docstrings import readable
from generated import filled, table

from stgraph.community.base import BACKENDS, backend
from stgraph.community.size_cap import SPLITTERS
from stgraph.selection.base import SELECTORS
from stgraph.selection.catalogue import Description, catalogue


def write_tables(site: Path) -> None:
    """The pages of selectors and backends: those that stgraph brings, whatever else is installed."""
    folder = site / "reference"
    folder.mkdir()
    (folder / "selectors.md").write_text(_selectors(), encoding="utf-8")
    (folder / "backends.md").write_text(_backends(), encoding="utf-8")


def _selectors() -> str:
    found = [one for one in catalogue() if _ours(SELECTORS.get(one.name))]
    rows = [(f"[`{one.name}`](#{_anchor(one)})", _paper(one), _signals(one), one.cuts, one.counts) for one in found]
    listed = table(("selector", "paper", "signals", "cuts", "keeps"), rows)
    return filled("selectors", selectors="\n\n".join([listed, *map(_selector, found)]))


def _selector(one: Description) -> str:
    facts = [
        _paper(one),
        f"needs {_signals(one)}" if one.signals else "needs features and grid alone",
        f"cuts {one.cuts}",
        f"keeps K tokens: {one.counts}",
        "runs on a GPU" if one.on_gpu else "runs on the CPU",
        "time grows with the square of the tokens" if one.quadratic else "",
    ]
    parts = [f"## `{one.name}` {{ #{_anchor(one)} }}", one.summary, "; ".join(filter(None, facts)) + "."]
    if one.parameters:
        rows = [(f"`{each.name}`", f"`{each.default}`", each.values, each.meaning) for each in one.parameters]
        parts.append(table(("parameter", "default", "values", "meaning"), rows))
    return "\n\n".join(parts)


def _anchor(one: Description) -> str:
    return one.name.replace("+", "-plus")


def _paper(one: Description) -> str:
    year = "" if (one.venue or "").startswith("arXiv") else str(one.year or "")
    return ", ".join(filter(None, (one.title, " ".join(filter(None, (one.venue, year))))))


def _signals(one: Description) -> str:
    return ", ".join(f"`{signal}`" for signal in one.signals)


def _ours(found: Any) -> bool:
    kind = found if isinstance(found, type) else type(found)
    return kind.__module__.startswith("stgraph.")


def _backends() -> str:
    rows, own = [], []
    for name in filter(lambda name: _ours(backend(name)), BACKENDS.usable()):
        can = backend(name).capabilities
        holds = {
            "weights": can.weighted,
            "seed": can.seeded,
            "repeatable": can.deterministic,
            "own cap": can.native_cap,
        }
        named = ", ".join(word for word, true in holds.items() if true)
        rows.append((f"`{name}`", can.objective, can.device, named, ", ".join(f"`{one}`" for one in can.ignores)))
        for key, one in getattr(backend(name), "parameters", {}).items():
            own.append((f"`{name}`", f"`{key}`", f"{one.default:g}", one.meaning))
    cutters = [SPLITTERS.get(name) for name in SPLITTERS.usable() if _ours(SPLITTERS.get(name))]
    how = [(f"`{one.name}`", "yes" if one.connected else "no", _summary(one)) for one in cutters]
    return filled(
        "backends",
        backends=table(("backend", "objective", "device", "properties", "ignores"), rows),
        parameters=table(("backend", "parameter", "default", "meaning"), own),
        splitters=table(("splitter", "connected", "how"), how),
    )


def _summary(found: object) -> str:
    text = readable(inspect.getdoc(type(found)) or "").partition("\n\n")[0]
    return " ".join(text.split())
