"""Pages of the study: their tables, from the rows that ``make study`` writes.

``python -m stgraph.study_pages ROWS DOCS`` puts the tables of the rows in folder ROWS into their pages in folder DOCS.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from stgraph.bench.tables.reading import read_tables
from stgraph.errors import InputError
from stgraph.files import atomic_path
from stgraph.viz.markdown import caps, densities, objectives, rankings, real_features, study

# Page -> the modules of its tables, in its order.
PAGES = {"what-clustering-changes.md": (study, real_features), "objectives.md": (objectives, caps, rankings, densities)}
_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)


def page_tables(page: str, folder: Path) -> dict[str, str]:
    """Tables of a page by name, in its order.

    Parameters
    ----------
    page : a name in :data:`PAGES`
    folder : of the rows

    Raises
    ------
    InputError
        a file of rows is missing or cannot be read
    """
    tables: dict[str, str] = {}
    for module in PAGES[page]:
        tables |= module.tables({name: read_tables(folder / f"{name}.csv")["rows"] for name in module.FILES})
    return tables


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """A page with each of its tables replaced, in order.

    Raises
    ------
    InputError
        the page has another number of tables
    """
    found = _TABLE.findall(text)
    if len(found) != len(tables):
        raise InputError(f"the page has {len(found)} tables, and the study {len(tables)}: {', '.join(tables)}")
    left = iter(tables.values())
    return _TABLE.sub(lambda _: next(left) + "\n", text)


def update_pages(folder: Path, docs: Path) -> None:
    """Put the tables of the rows in ``folder`` into the pages in ``docs``."""
    for name in PAGES:
        text = with_tables((docs / name).read_text(encoding="utf-8"), page_tables(name, folder))
        with atomic_path(docs / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    update_pages(*map(Path, sys.argv[1:]))
