"""Parts of pages that are made from rows, between their marks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from stgraph.errors import InputError
from stgraph.files import atomic_path

_MARKED = re.compile(r"(<!-- rows: ([^>]+) -->\n\n)(.*?)(\n\n<!-- end -->)", re.DOTALL)


def with_parts(text: str, parts: Mapping[str, str]) -> str:
    """A page with each part in the place of what stood between ``<!-- rows: NAME -->`` and ``<!-- end -->``.

    Raises
    ------
    InputError
        the page has no such marks for a part, or marks of a part that is not given
    """
    marked = [found[2] for found in _MARKED.finditer(text)]
    if odd := sorted(set(marked) ^ set(parts)):
        raise InputError(
            f"the page has marks for {', '.join(marked) or 'nothing'}, and the rows give {', '.join(parts)}: "
            f"write <!-- rows: {odd[0]} --> and <!-- end --> on lines of their own, or take them out"
        )
    return _MARKED.sub(lambda found: found[1] + parts[found[2]] + found[4], text)


def update_page(page: Path, parts: Mapping[str, str]) -> None:
    """Put the parts into the file ``page``; InputError as :func:`with_parts`."""
    text = with_parts(page.read_text(encoding="utf-8"), parts)
    with atomic_path(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
