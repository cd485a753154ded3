"""The side-by-side table of all selectors, from the rows that ``make selectors`` writes.

``python -m stgraph.selector_page ROWS PAGE`` puts the rows in file ROWS into PAGE, between its marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stgraph.bench.tables.reading import read_tables
from stgraph.page_parts import update_page
from stgraph.viz.markdown.side_by_side import side_by_side


def selector_parts(rows: Path) -> dict[str, str]:
    """The part ``probe`` of ``docs/methods.md``.

    Raises
    ------
    InputError
        the rows cannot be read
    """
    return {"probe": side_by_side(read_tables(rows)["rows"])}


if __name__ == "__main__":
    update_page(Path(sys.argv[2]), selector_parts(Path(sys.argv[1])))
