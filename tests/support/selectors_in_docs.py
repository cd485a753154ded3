"""Table of selectors in docs/methods.md; ``PYTHONPATH=. python tests/support/selectors_in_docs.py`` makes it anew."""

from __future__ import annotations

import re
from pathlib import Path

from stgraph.selection.catalogue import catalogue
from stgraph.viz.catalogue import markdown

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
_BETWEEN = re.compile(r"(<!-- selectors -->\n\n)(.*?)(<!-- end -->)", re.DOTALL)


def written_anew(text: str) -> str:
    """The page with the table as the classes have it."""
    table = markdown([description.to_dict() for description in catalogue()])
    return _BETWEEN.sub(lambda found: f"{found[1]}{table}\n\n{found[3]}", text)


if __name__ == "__main__":
    PAGE.write_text(written_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
