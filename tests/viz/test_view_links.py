"""The page of ``stgraph view`` as a link, a picture, on a phone, and of a selection by itself, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsers import Open, pixels, settle, text
from clips import SHAPE
from settings_of import filmed, page_of, settings
from view_pages import hover, show

import stgraph
from stgraph import VideoTokens
from stgraph.pages import view_selection
from stgraph.viz.pages.shown import Shown

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def made() -> tuple[VideoTokens, list[Shown]]:
    tokens = filmed(title="A clip")
    return tokens, settings(tokens)


@pytest.fixture
def page(open_page: Open, made: tuple[VideoTokens, list[Shown]]) -> Any:
    return open_page(page_of(*made))


def test_it_opens_where_most_happens(page: Any, made: tuple[VideoTokens, list[Shown]]) -> None:
    events = made[1][0].analysis.events.reshape(SHAPE[0], -1).sum(axis=1)
    assert text(page, "#clock").startswith(f"frame {events.argmax()} of")


def test_the_address_is_a_link_to_what_is_shown(page: Any) -> None:
    show(page, 2)
    page.select_option("#backend", "igraph-leiden")
    page.locator("#ratio button", has_text="0.1").click()
    page.keyboard.press("4")
    settle(page)
    assert page.url.endswith("#f=2&b=igraph-leiden&s=tree&r=0.1&m=Change")
    before = (text(page, "#clock"), text(page, "#finding"), text(page, "#kept"), pixels(page))
    page.reload()
    settle(page)
    assert (text(page, "#clock"), text(page, "#finding"), text(page, "#kept"), pixels(page)) == before
    page.evaluate("location.hash = '#f=3&b=nonsense&r=9&m=x&v=77'")
    settle(page)
    assert text(page, "#clock").startswith("frame 3 of")
    assert text(page, "#finding") == before[1]


def test_the_picture_is_saved(page: Any) -> None:
    show(page, 1)
    with page.expect_download() as download:
        page.locator("#save").click()
    assert download.value.suggested_filename == "A-clip-frame-1-lattice-components-tree-r-0.3-Kept.png"
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_what_is_known_of_a_token_can_be_closed_on_a_phone(
    open_page: Open, made: tuple[VideoTokens, list[Shown]]
) -> None:
    page = open_page(page_of(*made), 390, 844, has_touch=True)
    page.locator("#frame").tap()
    settle(page)
    assert page.locator("#tip").is_visible()
    page.locator("#tip .close").tap()
    settle(page)
    assert page.locator("#tip").is_hidden()


def test_a_saved_selection_is_shown_by_itself(open_page: Open, tmp_path: Path) -> None:
    tokens = filmed(title="A clip")
    kept = stgraph.selector("evs", retain_ratio=0.3).select(tokens)
    kept.save(tmp_path / "kept.safetensors", tokens)
    page = open_page(view_selection(tmp_path / "kept.safetensors").html())
    assert text(page, "#finding").startswith("evs: ")
    assert f"keeps {len(kept)} of" in text(page, "#kept")
    assert "The features are not known." in "".join(page.locator("svg").all_text_contents())
    assert text(page, "#clock").startswith("frame 3 of")  # the first after a cut
    show(page, 1)
    hover(page, tokens.grid.node(1, 0, 0))
    said = text(page, "#tip")
    assert "left none right none" in said
    there = tokens.grid.node(1, 0, 0) in kept.indices
    assert said.partition("next frame none ")[2].startswith("Kept" if there else "Dropped")
