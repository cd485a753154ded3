"""The documentation site: its source, its order, its check; a whole build is `make docs`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import stgraph

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "docs" / "site"

pytestmark = pytest.mark.skipif(not SITE.exists(), reason="docs/site is not here: not a checkout")


@pytest.fixture(autouse=True)
def _path(monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(SITE))


def written(site: Path, **pages: str) -> Path:
    for name, body in pages.items():
        (site / f"{name}.html").write_text(f"<!doctype html><title>{name}</title>{body}", encoding="utf-8")
    return site


def test_guides_lead_to_pages_that_are_there(tmp_path: Path) -> None:
    pytest.importorskip("latex2mathml", reason="needs the extra docs")
    from guides import write_guides

    write_guides(tmp_path)
    pages = {page.name for page in tmp_path.glob("*.md")}
    assert {"index.md", "changelog.md", "methods.md"} <= pages
    for page in tmp_path.glob("*.md"):
        for target in re.findall(r"\]\(([^)\s:#]+\.(?:md|png))", page.read_text(encoding="utf-8")):
            known = target in pages or target.startswith("notebooks/") or (tmp_path / target).is_file()
            assert known, f"{page.name}: {target}"


@pytest.mark.parametrize(
    ("file", "text", "there"),
    [
        ("README.md", "[a](docs/gpu.md#b)", "[a](gpu.md#b)"),
        ("README.md", "![a](docs/pictures/view.png)", "![a](pictures/view.png)"),
        ("docs/gpu.md", "[a](../CONTRIBUTING.md) [b](#c)", "[a](contributing.md) [b](#c)"),
        ("docs/gpu.md", "[a](https://example.org/b.md)", "[a](https://example.org/b.md)"),
        ("docs/notebooks/inspect_a_graph.ipynb", "[a](../gpu.md)", "[a](../gpu.md)"),
        ("README.md", "```\nx[0](docs/nothing.md)\n```", "```\nx[0](docs/nothing.md)\n```"),
    ],
)
def test_links_fit_the_site(file: str, text: str, there: str) -> None:
    from guides import for_site

    assert for_site(text, file) == there


def test_what_the_site_lacks_is_in_the_repository() -> None:
    from guides import REPOSITORY, for_site

    assert for_site("[a](../NOTICE)", "docs/gpu.md") == f"[a]({REPOSITORY}/blob/main/NOTICE)"
    with pytest.raises(ValueError, match=r"docs/gpu.md links to nothing.md, which does not exist"):
        for_site("[a](nothing.md)", "docs/gpu.md")


def test_formulas_are_set_without_a_script() -> None:
    pytest.importorskip("latex2mathml", reason="needs the extra docs")
    from guides import for_site

    text = for_site("a\n\n```math\n\\frac{1}{2} \\cdot x_i\n```\n\nb\n", "docs/gpu.md")
    assert re.search(r'\n<div class="formula"><math [^>]*display="block"><mrow><mfrac>.*</math></div>\n', text)
    assert "```" not in text


def test_every_guide_and_command_has_its_place_in_the_order() -> None:
    from guides import PROJECT

    from stgraph.cli import app

    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    placed = re.findall(r"([\w/-]+\.md)$", nav, re.MULTILINE)
    guides = {page.name for page in (ROOT / "docs").glob("*.md")} | set(PROJECT.values())
    guides |= {f"notebooks/{page.stem}.md" for page in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    assert len(placed) == len(set(placed))
    assert guides <= set(placed)
    assert {f"commands/{command.name}.md" for command in app.registered_commands} <= set(placed)


def test_the_reference_has_every_public_name(tmp_path: Path) -> None:
    from api import write_api

    write_api(tmp_path)
    text = "".join(page.read_text(encoding="utf-8") for page in (tmp_path / "api").glob("*.md"))
    assert [name for name in stgraph.__all__ if f"::: stgraph.{name}\n" not in f"{text}\n"] == []
    for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute), name


def test_the_help_on_the_site_is_the_command_s() -> None:
    from commands import help_of

    text = help_of("select")
    assert text.startswith("Usage: stgraph select [OPTIONS]")
    assert max(map(len, text.splitlines())) <= 80
    assert "Examples:" in text


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ('<a href="b.html#there">', None),
        ('<a href="b.html#gone">', "b.html#gone: there is no such anchor"),
        ('<a href="#gone">', "#gone: there is no such anchor"),
        ('<a href="gone.html">', "gone.html: there is no such file"),
        ('<img src="gone.png">', "gone.png: there is no such file"),
        ('<a href="../a.html">', "../a.html: leads out of the site"),
        ('<a href="/b.html">', None),
        ('<a href="https://example.org/x">', None),
        ('<link rel="canonical" href="https://example.org">', None),
        ('<script src="https://example.org/x.js"></script>', "loads https://example.org/x.js"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "loads //example.org/x.css"),
        ('<p style="background: url(https://example.org/x.png)">', "loads https://example.org/x.png"),
        ("<style>@import 'https://example.org/x.css';</style>", "loads https://example.org/x.css"),
        ('<img src="data:image/png;base64,AA==">', None),
    ],
)
def test_the_check_finds_what_is_wrong(tmp_path: Path, body: str, what: str | None) -> None:
    from check import faults

    site = written(tmp_path, a=body, b='<h2 id="there">b</h2>')
    assert faults(site) == ([] if what is None else [f"a.html: {what}"])


def test_an_empty_site_is_a_fault(tmp_path: Path) -> None:
    from check import faults

    assert faults(tmp_path) == [f"{tmp_path}: there is no page"]


def test_docstrings_are_read_as_they_are_meant() -> None:
    from docstrings import as_numpydoc, readable

    text = "What.\n\nParameters\n----------\na, b : the first\n    two\n\nAlso this.\n\nReturns\n-------\nint\n    one"
    meant = "What.\n\nAlso this.\n\nParameters\n----------\na, b\n    the first two\n\nReturns\n-------\nint\n    one"
    assert as_numpydoc(text) == meant
    assert readable("see :class:`stgraph.edges.EdgeList` and ``x``") == "see `EdgeList` and `x`"
