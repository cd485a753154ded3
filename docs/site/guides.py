"""Guides of the site: README, docs/*.md and the project's own pages, with their links made to fit the site."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
# Files beside docs/ that are pages of the site, and their names there.
PROJECT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
}
_LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)\s]*)?(\))")
_FILE_AS_TEXT = re.compile(r"\[((?:docs/)?[\w-]+\.md)\](?=\()")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_MATH = "```math\n"
_FENCE = re.compile(r"^(```.*?^```\s*$)", re.MULTILINE | re.DOTALL)


def page_name(file: str) -> str | None:
    """Where a file of the repository is on the site, by paths relative to each root; None if it is not there."""
    if file in PROJECT:
        return PROJECT[file]
    if not file.startswith("docs/"):
        return None
    inside = file.removeprefix("docs/")
    return inside.removesuffix(".ipynb") + ".md" if inside.endswith(".ipynb") else inside


def for_site(text: str, file: str) -> str:
    """A Markdown file of the repository with links that hold on the site; what the site lacks leads to the repository.
    A guide that is named by its file is named by its title; formulas become MathML, which browsers set without script.

    Raises
    ------
    ValueError
        a link leads to a file that does not exist
    """
    here = PurePosixPath(page_name(file) or file).parent

    def link(found: re.Match[str]) -> str:
        target = (ROOT / file).parent.joinpath(found[2]).resolve()
        if not target.exists():
            raise ValueError(f"{file} links to {found[2]}, which does not exist")
        inside = target.relative_to(ROOT).as_posix()
        page = page_name(inside)
        anchor = found[3] or ""
        if page is None:
            return f"{found[1]}{REPOSITORY}/blob/main/{inside}{anchor}{found[4]}"
        return f"{found[1]}{'../' * len(here.parts)}{page}{anchor}{found[4]}"

    parts = _FENCE.split(text)  # what stands in code blocks is no link
    return "".join(
        _block(part) if part.startswith("```") else _LINK.sub(link, _FILE_AS_TEXT.sub(_title, part)) for part in parts
    )


def _title(found: re.Match[str]) -> str:
    guide = (ROOT / "docs" / found[1].removeprefix("docs/")).read_text(encoding="utf-8")
    title = _TITLE.search(guide)
    return f"[{title[1] if title else found[1]}]"


def _block(fenced: str) -> str:
    if not fenced.startswith(_MATH):
        return fenced
    from latex2mathml.converter import convert

    formula = convert(fenced.removeprefix(_MATH).rstrip().removesuffix("```"), display="block")
    return f'<div class="formula">{formula}</div>\n'


def write_guides(site: Path) -> None:
    """Every guide and every picture, into ``site``."""
    pages = [*PROJECT, *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]
    for file in pages:
        text = for_site((ROOT / file).read_text(encoding="utf-8"), file)
        (site / str(page_name(file))).write_text(text, encoding="utf-8")
    (site / "pictures").mkdir()
    for picture in (ROOT / "docs" / "pictures").glob("*.png"):
        shutil.copy(picture, site / "pictures")
