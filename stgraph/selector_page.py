"""The side-by-side table of all selectors, from the rows that ``make selectors`` writes.

``python -m stgraph.selector_page ROWS PAGE`` puts the rows in file ROWS into PAGE, between its marks.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from stgraph.bench.tables.reading import read_tables
from stgraph.errors import InputError
from stgraph.files import atomic_path
from stgraph.viz.markdown.side_by_side import side_by_side

_BETWEEN = re.compile(r"(<!-- probe -->\n\n)(.*?)(\n\n<!-- end -->)", re.DOTALL)


def with_rows(text: str, rows: Path) -> str:
    """A page with the rows in the place of what stood between its marks.

    Raises
    ------
    InputError
        the rows cannot be read, or the page has no marks
    """
    if not _BETWEEN.search(text):
        raise InputError(
            "the page has no place for the table: write <!-- probe --> and <!-- end --> on lines of their own"
        )
    said = side_by_side(read_tables(rows)["rows"])
    return _BETWEEN.sub(lambda found: found[1] + said + found[3], text)


if __name__ == "__main__":
    rows, page = map(Path, sys.argv[1:])
    text = with_rows(page.read_text(encoding="utf-8"), rows)
    with atomic_path(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
