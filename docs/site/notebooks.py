"""Notebooks as pages: what was computed when they were last run, pictures included."""

from __future__ import annotations

from pathlib import Path

from guides import ROOT, for_site
from nbconvert import MarkdownExporter
from nbformat import reads


def write_notebooks(site: Path) -> None:
    """Every notebook of docs/notebooks as a page with its pictures beside it."""
    folder = site / "notebooks"
    folder.mkdir()
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        notebook = reads(path.read_text(encoding="utf-8"), as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = for_site(cell.source, f"docs/notebooks/{path.name}")
        names = {"unique_key": path.stem, "output_files_dir": "."}
        text, made = MarkdownExporter().from_notebook_node(notebook, resources=names)
        for name, content in made["outputs"].items():
            (folder / name).write_bytes(content)
        (folder / f"{path.stem}.md").write_text(text, encoding="utf-8")
