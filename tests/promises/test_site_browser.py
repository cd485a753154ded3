"""The built site in a browser, from disk: nothing is loaded from elsewhere, nothing is cut, search finds things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import browser  # noqa: F401 (a fixture)

SITE = Path(__file__).resolve().parents[2] / "build" / "site"
PAGES = ("index", "commands/select", "api/communities", "reference/backends", "notebooks/inspect_a_graph", "methods")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SITE / "index.html").exists(), reason="make docs has built no site"),
]


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:  # noqa: F811
    context = browser.new_context()
    opened, troubles = context.new_page(), []
    opened.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: troubles.append(f"uncaught: {error}"))
    opened.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else troubles.append(r.url))
    yield opened
    context.close()
    assert troubles == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_the_window(page: Any, name: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto((SITE / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").count() == 1
    assert page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length") == 0


def test_search_works_from_disk(page: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 844})
    page.goto((SITE / "index.html").as_uri())
    page.locator("input.md-search__input").click()  # which loads the index; a value that is set is not searched for
    page.keyboard.type("infomap")
    page.locator(".md-search-result__item").first.wait_for()
    assert "infomap" in page.locator(".md-search-result__list").inner_text()


def test_what_scrolls_takes_the_focus_and_the_search_has_a_name(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto((SITE / "benchmarks.html").as_uri())
    page.locator(".md-typeset__scrollwrap[tabindex='0']").first.wait_for()
    boxes = "[...document.querySelectorAll('.md-typeset__scrollwrap, .md-typeset pre > code')]"
    assert page.evaluate(f"{boxes}.filter(b => b.scrollWidth > b.clientWidth && b.tabIndex < 0).length") == 0
    assert page.locator(".md-search[role='dialog']").get_attribute("aria-label") == "Search"


def test_a_guide_is_named_by_its_title(page: Any) -> None:
    page.goto((SITE / "index.html").as_uri())
    names = page.locator("article a").all_inner_texts()
    assert "Benchmarks" in names and not [name for name in names if name.endswith(".md")]
