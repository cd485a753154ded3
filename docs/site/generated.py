"""Pages with generated parts: the text around them is in docs/site/pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

_PAGES = Path(__file__).parent / "pages"


def filled(name: str, **parts: str) -> str:
    """The page ``name`` with each ``<!-- part -->`` replaced.

    Raises
    ------
    ValueError
        the page has no place for a part
    """
    text = (_PAGES / f"{name}.md").read_text(encoding="utf-8")
    for part, content in parts.items():
        before, mark, after = text.partition(f"<!-- {part} -->")
        if not mark:
            raise ValueError(f"docs/site/pages/{name}.md has no place for {part!r}")
        text = before + content + after
    return text


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
