"""Extension for mkdocstrings: every docstring of the project as numpydoc has it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.append(str(Path(__file__).parent))  # it is loaded by path, without the files beside it
from docstrings import as_numpydoc, readable


class ProjectDocstrings(griffe.Extension):
    """Rewrites docstrings as they are loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_numpydoc(readable(obj.docstring.value))
