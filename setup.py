"""The description on a package index: README.md, its relative links made absolute. All else is in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
_FENCE = re.compile(r"^(```.*?^```\s*$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)(\[[^\]]*\]\()(?!https?:|#)([^)\s]+\))")


def on_an_index(readme: str) -> str:
    """The README with pictures and links that lead into the repository from anywhere."""

    def absolute(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}{REPOSITORY}/{'raw' if found[1] else 'blob'}/main/{found[3]}"

    parts = _FENCE.split(readme)  # what stands in code blocks is no link
    return "".join(part if part.startswith("```") else _LINK.sub(absolute, part) for part in parts)


if __name__ == "__main__":
    setup(
        long_description=on_an_index((ROOT / "README.md").read_text(encoding="utf-8")),
        long_description_content_type="text/markdown",
    )
