"""docs/backends.md lists every backend with its objective and parameters, and every splitter."""

from __future__ import annotations

import re
from pathlib import Path

from stgraph.community.base import BACKENDS, backend
from stgraph.community.objectives import OBJECTIVES
from stgraph.community.size_cap import SPLITTERS

PAGE = (Path(__file__).parents[2] / "docs" / "backends.md").read_text(encoding="utf-8")


def rows() -> dict[str, tuple[str, str]]:
    """Backend -> objective and parameters, as the page has them."""
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 4:
            for name in re.findall(r"`([\w-]+)`", cells[0]):
                found[name] = (cells[1], cells[2])
    return found


def test_every_backend_is_listed_as_it_is() -> None:
    listed = rows()
    shipped = [name for name in BACKENDS.names() if type(backend(name)).__module__.startswith("stgraph.community")]
    assert set(listed) == set(shipped)
    for name in shipped:
        own = getattr(backend(name), "parameters", {})
        stated = ", ".join(f"`{parameter}` ({one.default:g})" for parameter, one in own.items())
        assert listed[name] == (backend(name).capabilities.objective, stated)


def test_backends_stand_by_objective() -> None:
    shipped = [name for name in BACKENDS.names() if type(backend(name)).__module__.startswith("stgraph.community")]
    places = [list(OBJECTIVES).index(backend(name).capabilities.objective) for name in shipped]
    assert places == sorted(places)
    of_page = [list(OBJECTIVES).index(objective) for objective, _ in rows().values()]
    assert of_page == sorted(of_page)


def test_every_splitter_is_listed() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| ", PAGE.partition("## Splitters")[2], re.MULTILINE)) == set(
        SPLITTERS.names()
    )
