"""A page in a real browser, Chromium through Playwright; tests that need one are skipped by name without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless browser for the tests of a module; no longer, for Playwright keeps an event loop running meanwhile."""
    if find_spec("playwright") is None:
        pytest.skip("needs a browser: the package playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("needs a browser: no chromium on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield made
        made.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens HTML text from disk. At the end, the page must have asked for nothing and complained of nothing."""
    contexts: list[Any] = []
    troubles: list[str] = []

    def opened(text: str, width: int = 1366, height: int = 768, **options: Any) -> Any:
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: troubles.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(f"uncaught: {error}"))
        page.on(
            "request", lambda r: None if r.url == path.as_uri() or r.url.startswith("data:") else troubles.append(r.url)
        )
        page.goto(path.as_uri())
        settle(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def settle(page: Any) -> None:
    """Wait until pictures are decoded and the screen has been drawn."""
    page.evaluate(
        "async () => { await Promise.all([...document.images].map((i) => i.decode().catch(() => 0)));"
        "for (let k = 0; k < 3; k++) await new Promise((r) => requestAnimationFrame(r)); }"
    )


def pixels(page: Any, selector: str = "#frame") -> str:
    """What a canvas shows, as text that differs when the picture does."""
    settle(page)
    return str(page.locator(selector).first.evaluate("canvas => canvas.toDataURL()"))


def text(page: Any, selector: str) -> str:
    """The text of an element, with runs of white space as one space."""
    settle(page)
    return " ".join(page.locator(selector).first.inner_text().split())
