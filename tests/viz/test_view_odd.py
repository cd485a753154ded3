"""The page of ``stgraph view`` where things are unusual: markup in names, no pictures, one frame, a phone, newlines."""

from __future__ import annotations

import numpy as np
import pytest
from browsers import Open, pixels, text
from clips import SHAPE, clip
from settings_of import filmed, page_of, setting, settings, with_pictures
from view_pages import MARKUP, H, W, hover, show

import stgraph
from stgraph import VideoTokens, keep
from stgraph.bench.synthetic import synthetic_signals
from stgraph.selection.reasons import REASON_NAMES
from stgraph.viz.pages.view import view_page

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def test_markup_is_text(open_page: Open) -> None:
    tokens = filmed(title=MARKUP, note={MARKUP: [MARKUP]}, **{"<b>key</b>": MARKUP})
    page = open_page(page_of(tokens, [setting(tokens)], name=MARKUP))
    assert page.evaluate("window.alive") is None
    assert page.locator("h1").text_content() == MARKUP
    assert page.locator("#title *, #about img, #about b, #about script").count() == 0
    assert "<b>key</b>" in page.locator("#about").text_content()


@pytest.mark.parametrize("kind", ["no pictures", "a broken picture", "one frame"])
def test_odd_videos(open_page: Open, kind: str) -> None:
    tokens = clip() if kind == "no pictures" else VideoTokens.from_array(clip().lattice[:1])
    if kind == "a broken picture":
        tokens = with_pictures(clip(), broken=2)
    page = open_page(page_of(tokens, [setting(tokens)]))
    if tokens.grid.T > 1:
        show(page, 2)
    seen = {pixels(page)}
    for key in "2356":
        page.keyboard.press(key)
        seen.add(pixels(page))
    assert len(seen) >= 4
    assert page.locator("#play").is_disabled() == (tokens.grid.T == 1)


def test_a_phone(open_page: Open) -> None:
    tokens = filmed(title="A clip")
    page = open_page(page_of(tokens, settings(tokens)), 390, 844, has_touch=True, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.keyboard.press("Home")
    frame = page.locator("#frame")
    frame.tap(position={"x": 5, "y": 5})
    assert "Token 0: frame 0" in text(page, "#tip")
    assert page.locator("#focus").is_hidden()
    frame.tap(position={"x": 5, "y": 5})
    assert text(page, "#focus p").startswith("Community 0 after the cap")
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    box = frame.bounding_box()
    assert box["y"] + box["height"] < 844


def test_tokens_of_a_sequence_with_newlines(open_page: Open) -> None:
    kind = np.zeros((SHAPE[0] * H, W + 1), np.uint8)
    kind[:, W] = 1
    x = np.insert(clip().lattice.reshape(-1, W, 12), W, 1, axis=1).reshape(-1, 12)
    tokens = VideoTokens(x, stgraph.TokenGrid(*SHAPE, kind.reshape(-1)))
    assert tokens.grid.shape == SHAPE
    page = open_page(page_of(tokens, [setting(tokens)]))
    page.keyboard.press("Home")
    hover(page, 2 * W + 1)
    assert text(page, "#tip").startswith(f"Token {2 * W + 1}, row {2 * (W + 1) + 1} of the features: frame 0, row 2")


def test_selectors_without_communities(open_page: Open) -> None:
    tokens = synthetic_signals(filmed())
    page = open_page(view_page(tokens, keep(tokens, ["st-simdiff", "evs", "sttm", "random"], [0.1, 0.3])))
    assert text(page, ".switches").startswith("Selector")
    page.keyboard.press("2")
    assert text(page, "#modes button[aria-pressed=true]") == "2 Communities"
    seen = {pixels(page)}
    for name in ("evs", "sttm", "random"):
        page.select_option("#backend", name)
        assert text(page, "#finding").startswith(f"{name}: ")
        assert text(page, "#modes button[aria-pressed=true]") == "1 Kept"  # it has no others to show
        disabled = [text(page, f"#modes button:nth-child({i + 1})") for i in range(6)]
        assert [page.locator("#modes button").nth(i).is_disabled() for i in range(6)] == [
            word.split(" ", 1)[1] in ("Communities", "Before the cap", "Centrality") for word in disabled
        ]
        assert all(button.is_disabled() for button in page.locator("#split button").all())
        assert "finds no communities" in text(page, "#pieces") and "finds no communities" in text(page, "#sizes")
        (kept,) = keep(tokens, name, 0.3)
        node = int(kept.selection.nodes[0])
        show(page, node // (H * W))
        hover(page, node)
        tip = text(page, "#tip")
        assert tip.endswith(f"Kept as {REASON_NAMES[kept.selection.reason[0]]}")
        assert not {"Community", "Centrality"} & set(tip.split())
        page.locator("#frame").click()
        assert page.locator("#focus").is_hidden()
        for key in "2345sS":
            page.keyboard.press(key)
        page.keyboard.press("1")
        seen.add(pixels(page))
        per_frame = kept.selection.mask.sum(axis=(1, 2))
        assert text(page, f"#strip button:nth-child({1}) .caption").endswith(f"{per_frame[0]} kept")
        assert page.locator("#perframe title").count() == SHAPE[0]
    assert len(seen) == 4
    page.select_option("#backend", "lattice-components")
    assert text(page, "#finding").startswith("lattice-components: ")
    page.keyboard.press("2")
    assert text(page, "#modes button[aria-pressed=true]") == "2 Communities"
    page.select_option("#versus", "1")
    assert "evs shares " in text(page, "#kept") and "only evs" in text(page, "#legend")


def test_a_page_of_one_selector_without_communities(open_page: Open) -> None:
    page = open_page(view_page(filmed(), keep(filmed(), "uniform", 0.3)))
    assert page.locator("#split").is_hidden()
    assert "joined" not in text(page, "#facts") + text(page, "#similarity")
    assert "kept" in text(page, "#legend") and "representative" not in text(page, "#legend")
    page.keyboard.press("4")
    hover(page, 3)
    assert "Similarity to neighbours:" in text(page, "#tip")
