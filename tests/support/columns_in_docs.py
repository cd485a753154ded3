"""Tables of columns in the documentation; ``PYTHONPATH=. python tests/support/columns_in_docs.py`` makes them anew."""

from __future__ import annotations

import re
from pathlib import Path

from stgraph.bench.tables import experiments
from stgraph.viz.columns import markdown

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("compare.md", "sweep.md", "eval-task.md", "batch.md", "reproduce.md")
_BETWEEN = re.compile(r"(<!-- columns: (\w+) -->\n\n)(.*?)(\n\n<!-- end -->)", re.DOTALL)


def written_anew(text: str) -> str:
    """A page with its tables of columns as they are declared."""

    def table(found: re.Match[str]) -> str:
        declared = getattr(experiments, found[2])
        return found[1] + markdown(declared.columns, declared.key) + found[4]

    return _BETWEEN.sub(table, text)


if __name__ == "__main__":
    for page in PAGES:
        path = DOCS / page
        path.write_text(written_anew(path.read_text(encoding="utf-8")), encoding="utf-8")
