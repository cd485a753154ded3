"""Source of the site, in build/site-source: guides, notebooks, and pages generated from commands and classes."""

from __future__ import annotations

import shutil
from pathlib import Path

from api import write_api
from commands import write_commands
from guides import ROOT, write_guides
from notebooks import write_notebooks
from tables import write_tables

SOURCE = ROOT / "build" / "site-source"
PACKAGE = ROOT / "build" / "site-package"


def make(site: Path) -> None:
    """Every page anew."""
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    write_guides(site)
    write_notebooks(site)
    write_commands(site)
    write_tables(site)
    write_api(site)
    shutil.copytree(Path(__file__).parent / "assets", site / "assets")


def copy_package(folder: Path) -> None:
    """The package as mkdocstrings can read it, without an import: it follows no links, and enters no folder without an
    ``__init__.py``."""
    shutil.rmtree(folder, ignore_errors=True)
    others = shutil.ignore_patterns("__pycache__", "data", "assets", "results")
    shutil.copytree(ROOT / "stgraph", folder / "stgraph", ignore=others)
    for inner in (folder / "stgraph").rglob("*/"):
        (inner / "__init__.py").touch()


if __name__ == "__main__":
    make(SOURCE)
    copy_package(PACKAGE)
