"""The page of ``stgraph view`` in a real browser: what it shows, how it is used, and that nothing in it is alive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from browsers import Open, pixels, settle, text
from clips import SHAPE
from settings_of import filmed, page_of, setting, settings
from view_pages import H, W, hover, show

import stgraph
from stgraph import VideoTokens, colours
from stgraph.viz.pages.shown import Shown

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def made() -> tuple[VideoTokens, list[Shown]]:
    tokens = filmed(title="A clip")
    return tokens, settings(tokens)


@pytest.fixture
def page(open_page: Open, made: tuple[VideoTokens, list[Shown]]) -> Any:
    return open_page(page_of(*made))


def why(setting: Shown, ratio: float, node: int) -> str:
    """What the page should say of a token, from the selections."""
    names = {1: "representative", 2: "event", 3: "representative and event"}
    kept, candidates = setting.selections[ratio], setting.kept[ratio].candidates
    if node in kept.indices:
        return f"Kept as {names[int(kept.reason[kept.indices == node][0])]}"
    if candidates[node]:
        return f"Dropped: a candidate ({names[int(candidates[node])]}), but the budget was full"
    return "Dropped: neither representative nor event"


def test_the_sample_opens(open_page: Open) -> None:
    tokens = stgraph.sample()
    page = open_page(page_of(tokens, [setting(tokens, ratios=(0.3,))]))
    assert page.title() == "Big Buck Bunny, seconds 40 to 80: stgraph view"
    assert text(page, "#finding") == (
        "lattice-components: 18 of 1,337 communities are larger than √N = 101 and hold 61 % of all tokens."
    )
    assert page.locator("#strip button").count() == 40
    assert page.locator("#strip .cut").count() == 8
    assert "CC BY 3.0" in text(page, "#about")


def test_the_slider_changes_the_picture(page: Any) -> None:
    seen = set()
    for frame in range(SHAPE[0]):
        show(page, frame)
        seen.add(pixels(page))
        assert text(page, "#clock") == f"frame {frame} of 0 to 5 · {frame}.0 s"
        assert page.locator("#strip button[aria-current=true]").get_attribute("aria-label").startswith(f"Frame {frame}")
    assert len(seen) == SHAPE[0]


def test_every_overlay_is_another_picture(page: Any) -> None:
    show(page, 4)
    seen = {}
    for name in ("Kept", "Communities", "Before the cap", "Change", "Centrality", "Frame only"):
        page.locator("#modes button", has_text=name).click()
        seen[name] = pixels(page)
        assert page.locator("#modes button[aria-pressed=true]").inner_text().endswith(name)
    assert len(set(seen.values())) == 6


def test_boxes_have_the_colour_of_the_reason(page: Any, made: tuple[VideoTokens, list[Shown]]) -> None:
    kept = made[1][0].selections[0.3]
    reason = np.zeros(kept.grid.n_nodes, int)
    reason[kept.indices] = kept.reason
    looks = {1: colours.rgb(colours.REPRESENTATIVE), 2: colours.rgb(colours.EVENT), 3: colours.rgb(colours.EVENT)}
    seen = set()
    for t in range(SHAPE[0]):
        show(page, t)
        # On the left edge of each token's box, two pixels inside.
        found = page.locator("#frame").evaluate(
            """(canvas, [H, W]) => { const out = [], copy = document.createElement("canvas");
            [copy.width, copy.height] = [canvas.width, canvas.height];
            const pen = copy.getContext("2d", { willReadFrequently: true });
            pen.drawImage(canvas, 0, 0);
            for (let y = 0; y < H; y++) for (let x = 0; x < W; x++) {
              const left = Math.round((x * canvas.width) / W), down = Math.round(((y + 0.5) * canvas.height) / H);
              out.push([...pen.getImageData(left + 2, down, 1, 1).data.slice(0, 3)]);
            } return out; }""",
            [H, W],
        )
        for code, colour in zip(reason.reshape(SHAPE[0], -1)[t], found, strict=True):
            assert (tuple(colour) == looks[code]) if code else (tuple(colour) not in looks.values())
            seen.add(int(code))
    assert seen == {0, *np.unique(kept.reason).tolist()}
    assert len(seen) >= 3


def test_switches_show_what_was_computed(page: Any, made: tuple[VideoTokens, list[Shown]]) -> None:
    show(page, 2)
    pictures = set()
    for one in made[1]:
        page.select_option("#backend", one.name)
        page.locator("#split button", has_text=one.split).click()
        assert text(page, "#finding") == f"{one.name}: {one.finding()}"
        for ratio in one.kept:
            page.locator("#ratio button", has_text=f"{ratio:g}").click()
            assert text(page, "#kept") == one.kept_sentence(ratio)
            pictures.add(pixels(page))
    assert len(pictures) > 3


def test_comparing_two_settings(page: Any, made: tuple[VideoTokens, list[Shown]]) -> None:
    before = pixels(page)
    page.select_option("#versus", "3")
    a, b = (made[1][i].selections[0.3].mask for i in (0, 3))
    shared = round(100 * (a & b).sum() / (a | b).sum())
    assert text(page, "#kept").endswith(f"igraph-leiden, raster shares {shared} % of the tokens either keeps.")
    assert pixels(page) != before
    assert "only igraph-leiden, raster" in text(page, "#legend")


@pytest.mark.parametrize(("place", "ratio"), [((0, 0, 0), 0.3), ((4, 2, 2), 0.3), ((3, 4, 5), 0.1), ((2, 1, 4), 0.1)])
def test_what_is_said_of_a_token(
    page: Any, made: tuple[VideoTokens, list[Shown]], place: tuple[int, int, int], ratio: float
) -> None:
    tokens, (one, *_) = made
    graph, partition, centrality = one.analysis.graph, one.analysis.partition, one.analysis.centrality
    node = tokens.grid.node(*place)
    page.locator("#ratio button", has_text=f"{ratio:g}").click()
    show(page, place[0])
    hover(page, node)
    said = text(page, "#tip")
    t, y, x = place
    assert said.startswith(f"Token {node}: frame {t} ({t}.0 s), row {y}, column {x} ")
    community, before = int(partition.labels[node]), int(partition.uncapped_labels[node])
    size, was = int(partition.sizes[community]), int(partition.uncapped_sizes[before])
    members = "alone" if size == 1 else f"{size} tokens"
    cut = ", not cut by the cap" if size == was else f"; before the cap in community {before} of {was} tokens"
    assert f"Community {community}: {members}{cut} " in said
    mates = partition.members(community)
    rank = 1 + int(np.count_nonzero(centrality[mates] > centrality[node]))
    rank += int(np.count_nonzero((centrality[mates] == centrality[node]) & (mates < node)))
    of = f" (rank {rank} of {size})" if size > 1 else ""
    assert f"Centrality {centrality[node]:.3f}{of} " in said
    sides = {"left": "left", "right": "right", "top": "above", "bottom": "below"}
    sides |= {"previous": "previous frame", "next": "next frame"}
    near = graph.neighbours(node)
    for side, name in sides.items():
        value = f"{near[side][1]:.3f}" if side in near else "none"
        assert f"{name} {value}" in said
    assert said.endswith(why(one, ratio, node))
    bold = {cell.replace(" ", "") for cell in page.locator("#tip td.joined").all_inner_texts()}
    assert bold == {f"{v:.3f}" for _, v in near.values() if v > graph.tau_sim}


def test_a_click_highlights_a_community_everywhere(page: Any, made: tuple[VideoTokens, list[Shown]]) -> None:
    partition = made[1][0].analysis.partition
    node = int(partition.members(int(partition.sizes.argmax()))[0])
    label = int(partition.labels[node])
    page.keyboard.press("2")
    strip = [pixels(page, f"#strip button:nth-child({t + 1}) canvas") for t in range(SHAPE[0])]
    show(page, node // (H * W))
    hover(page, node)
    page.mouse.down()
    page.mouse.up()
    inside = np.flatnonzero(partition.labels == label)
    frames = np.unique(inside // (H * W))
    kept = int(made[1][0].selections[0.3].mask.reshape(-1)[inside].sum())
    note = text(page, "#focus p")
    assert note.startswith(f"Community {label} after the cap: {inside.size} tokens in ")
    assert note.endswith(f"{kept} kept.")
    assert f"{frames.size} frames, {frames[0]} to {frames[-1]}" in note or f"frame {frames[0]};" in note
    assert all(pixels(page, f"#strip button:nth-child({t + 1}) canvas") != strip[t] for t in range(SHAPE[0]))
    page.select_option("#backend", "igraph-leiden")
    other = made[1][2].analysis.partition
    assert text(page, "#focus p").startswith(f"Community {other.labels[node]} after the cap:")
    page.keyboard.press("Escape")
    page.locator("#focus").wait_for(state="hidden")


def test_the_keyboard(page: Any) -> None:
    press = page.keyboard.press
    press("Home")
    for _ in range(3):
        press("ArrowRight")
    press("ArrowLeft")
    assert text(page, "#clock").startswith("frame 2 of")
    press("End")
    assert text(page, "#clock").startswith("frame 5 of")
    press("Home")
    for key, name in (("4", "Change"), ("6", "Frame only"), ("1", "Kept")):
        press(key)
        settle(page)
        assert page.locator("#modes button[aria-pressed=true]").inner_text() == f"{key} {name}"
    press("b")
    press("s")
    settle(page)
    assert page.locator("#backend").input_value() == "igraph-leiden"
    assert text(page, "#split button[aria-pressed=true]") == "raster"
    press("[")
    assert text(page, "#ratio button[aria-pressed=true]") == "0.1"
    press("]")
    assert text(page, "#ratio button[aria-pressed=true]") == "0.3"
    press("Shift+ArrowRight")
    for key in ("Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowDown"):
        press(key)
    assert text(page, "#tip").startswith(f"Token {2 * W + 1}: frame 0")
    press("Enter")
    assert text(page, "#focus p").startswith("Community ")
    press("Space")
    page.locator("#strip button:not(:first-child)[aria-current=true]").wait_for()
    press("Space")
    settle(page)
    assert page.locator("#play").get_attribute("aria-label") == "Play"


def test_charts_say_what_the_partition_says(page: Any, made: tuple[VideoTokens, list[Shown]]) -> None:
    one = made[1][0]
    partition, kept = one.analysis.partition, one.selections[0.3]
    titles = page.locator("#perframe title").all_text_contents()
    per_frame = kept.mask.sum(axis=(1, 2))
    assert [t for t in titles if t.startswith("frame")] == [
        t for t in titles if int(t.split()[2]) == per_frame[int(t.split()[1].rstrip(":"))]
    ]
    assert len(titles) == SHAPE[0]
    assert page.locator("#perframe line.mark").count() == 1 + 1  # the shot change, and its sample in the legend
    sizes = page.locator("#sizes").inner_text()
    assert "√N = 13" in sizes
    rows = page.locator("#pieces .row")
    largest = np.sort(partition.uncapped_sizes)[::-1][:8]
    assert rows.locator("text").all_text_contents()[0].startswith(f"{largest[0]} tokens")
    pieces = np.unique(partition.labels[partition.uncapped_labels == partition.uncapped_sizes.argmax()])
    assert rows.first.locator("rect").count() == pieces.size
    assert "joined above 0.8" in page.locator("#similarity").inner_text()
    assert "event below 0.2" in page.locator("#similarity").inner_text()
    rows.first.focus()
    page.keyboard.press("Enter")
    assert text(page, "#focus p").startswith(f"Community {partition.uncapped_sizes.argmax()} before the cap")


def test_a_cap_inside_the_search_cuts_nothing(open_page: Open) -> None:
    tokens = filmed()
    one = setting(tokens, ratios=(0.3,), backend="leidenalg-leiden", split="native")
    page, partition = open_page(page_of(tokens, [one])), one.analysis.partition
    show(page, 0)
    hover(page, 0)
    community, before = int(partition.labels[0]), int(partition.uncapped_labels[0])
    size, was = int(partition.sizes[community]), int(partition.uncapped_sizes[before])
    assert f"Community {community}: {size} tokens; without the cap in community {before} of {was} tokens " in text(
        page, "#tip"
    )
    row, top = page.locator("#pieces .row").first, int(partition.uncapped_sizes.argmax())
    under = partition.labels[partition.uncapped_labels == top]
    n = np.unique(under).size
    assert f"{partition.uncapped_sizes[top]} tokens, in {n} communities under the cap" in row.get_attribute(
        "aria-label"
    )
    titles = set(row.locator("rect title").all_text_contents())
    assert titles == {
        f"community {c}: {np.count_nonzero(under == c)} of its {partition.sizes[c]} tokens" for c in np.unique(under)
    }
