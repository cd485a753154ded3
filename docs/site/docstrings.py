"""Docstrings of the project as numpydoc has them.

The project writes ``name : meaning``, since signatures already state types, and may end a section with a paragraph;
numpydoc would read the meaning as a type and the paragraph as an item. Roles (``:class:`Budget```) are Sphinx's.
"""

from __future__ import annotations

import re

_HEAD = re.compile(r"^([A-Z]\w+)\n-+\n", re.MULTILINE)
_ITEM = re.compile(r"^(\*{0,2}\w[\w, *]*?) : (.*(?:\n +.*)*)", re.MULTILINE)
_ROLE = re.compile(r":(?:class|func|meth|attr|data|mod|obj):`~?(?:[\w.]*\.)?([^`.]+)`")
_ITEMS = ("Parameters", "Attributes", "Raises")


def readable(text: str) -> str:
    """Text of a docstring without Sphinx's marks."""
    return _ROLE.sub(r"`\1`", text).replace("``", "`")


def as_numpydoc(text: str) -> str:
    """A docstring with meanings below the names, and the paragraphs that end a section above all sections."""
    parts = _HEAD.split(text)
    prose, sections = [parts[0].strip()], []
    for head, body in zip(parts[1::2], parts[2::2], strict=True):
        if head in _ITEMS:
            body, _, after = body.strip().partition("\n\n")
            prose.append(after.strip())
            body = _ITEM.sub(lambda item: f"{item[1]}\n    {' '.join(item[2].split())}", body)
        sections.append(f"{head}\n{'-' * len(head)}\n{body.strip()}")
    return "\n\n".join(filter(None, (*prose, *sections)))
