"""``stgraph compare --html``: what the report holds, and how it behaves in a browser."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
import pytest
from browsers import Open, pixels, settle, text
from clips import clip, saved
from command_line import FEW, run
from refusals import Refused
from settings_of import filmed
from view_pages import MARKUP, array, data_of

import stgraph
from stgraph.bench.compare import compare_backends
from stgraph.errors import InputError
from stgraph.selection.settings import backend_settings
from stgraph.viz.pages.report import Compared, save_report, summary_tables
from stgraph.viz.terminal.comparison import sentences


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """The report of a comparison of backends, and the kept tokens of a setting in it."""
    folder = tmp_path_factory.mktemp("report")
    filmed(title="A clip").save(folder / "clip")
    args = ("compare", str(folder / "clip"), *FEW, "-r", "0.5", "--split", "tree", "--split", "raster", "-q")
    run(*args, "--html", str(folder / "page.html"), "-o", str(folder / "rows.json"))
    return (folder / "page.html").read_text(encoding="utf-8"), folder


def test_thumbnails_are_of_what_is_kept(backends: tuple[str, Any]) -> None:
    data = data_of(backends[0])
    thumbs = data["dumps"][0]["thumbs"]
    frames = [frame["t"] for frame in thumbs["frames"]]
    assert len(thumbs["pictures"]) == len(frames) == 5
    names = [entry["label"] for entry in thumbs["kept"]]
    assert names == ["lattice-components", "lattice-components / raster", "igraph-leiden", "igraph-leiden / raster"]
    tokens = stgraph.load(backends[1] / "clip")
    for entry, (name, split) in zip(
        thumbs["kept"], [(b, s) for b in names[::2] for s in ("tree", "raster")], strict=True
    ):
        for ratio in (0.3, 0.5):
            selector = stgraph.selector("st-simdiff", retain_ratio=ratio, backend=name, split=split)
            mask = selector.select(tokens).mask
            codes = array(data, entry["codes"][f"{ratio:g}"]).reshape(-1, *mask.shape[1:])
            np.testing.assert_array_equal(codes > 0, mask[frames])


def test_the_same_sentences_as_on_the_terminal(backends: tuple[str, Any]) -> None:
    tables = json.loads((backends[1] / "rows.json").read_text())
    assert data_of(backends[0])["dumps"][0]["sentences"] == sentences(tables["rows"], tables["overlap"])


@pytest.mark.slow
def test_the_report_in_a_browser(open_page: Open, backends: tuple[str, Any]) -> None:
    page = open_page(backends[0])
    rows = json.loads((backends[1] / "rows.json").read_text())["rows"]
    mean = {}
    for r in rows:
        mean.setdefault((r["backend"], r["split"], r["retain_ratio"]), []).append(r)
    group = mean["igraph-leiden", "raster", 0.3]
    line = page.locator("#tables tr", has_text="igraph-leiden / raster")
    communities, kept = (line.nth(i).locator("td").all_inner_texts() for i in range(2))
    assert communities[1] == f"{np.mean([r['n_uncapped'] for r in group]):,.0f}"
    assert communities[4] == f"{100 * np.mean([r['oversized_ratio'] for r in group]):.0f} %"
    assert kept[0] == f"{np.mean([r['n_representative'] for r in group]):,.0f}"
    pictures = pixels(page, "#film canvas")
    page.locator("#ratio button", has_text="0.5").click()
    assert pixels(page, "#film canvas") != pictures
    assert "Kept: 90 of 180 tokens" in text(page, "#tables")
    group = mean["igraph-leiden", "raster", 0.5]
    changed = page.locator("#tables tr", has_text="igraph-leiden / raster").nth(1).locator("td").all_inner_texts()
    assert changed[0] == f"{np.mean([r['n_representative'] for r in group]):,.0f}"
    page.locator("#tables button", has_text="largest").click()
    column = [row.split("\t")[3] for row in page.locator("#tables table").first.inner_text().split("\n")[2:]]
    assert column == sorted(column, key=int, reverse=True)
    assert page.locator("#tables th[aria-sort=descending]").count() == 1
    assert page.locator("#overlap tbody tr").count() == 4
    assert page.locator("#curves polyline").count() == 4
    before = page.locator("#curves").inner_html()
    page.select_option("#figure", label="evenness")
    settle(page)
    assert page.locator("#curves").inner_html() != before
    page.locator("#relative").check()
    assert text(page, "#curvetitle").endswith(f", less that of {text(page, '#curvekey button >> nth=0')}")
    first = page.locator("#curves polyline").first.get_attribute("points").split()
    assert len({point.split(",")[1] for point in first}) == 1  # the first less itself
    assert {cell for cell in page.locator("#overlap td.quiet").all_inner_texts()} <= {"·"}


@pytest.mark.slow
def test_a_report_of_selectors_of_two_dumps(open_page: Open, tmp_path: Path) -> None:
    names = [saved(tmp_path / name, title=MARKUP) for name in ("a", "b")]
    page_file = tmp_path / "page.html"
    said = run("compare", *names, "-s", "evs,srts,framefusion", "-r", "0.3", "--html", str(page_file))
    assert "open it in a browser" in said
    page = open_page(page_file.read_text(encoding="utf-8"), 390, 844)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#tables tbody tr").count() == 3
    assert "framefusion m≈" in text(page, "#tables")
    page.locator("#notes summary").click()  # what a finger cannot hover over
    assert "framefusion" in page.locator("#noted dt").all_inner_texts()
    assert text(page, "#facts").startswith("All 2 videos: means over 2 videos, ± one standard deviation")
    assert page.locator("#tables .spread").count() > 3
    assert page.locator("#sentences li").count() > 1
    assert page.locator("#tables .scroll").get_attribute("data-more") == "right"
    assert page.locator("#tables .scroll .caption").count() == 0
    page.select_option("#dump", "2")
    assert page.locator("#film canvas").count() == 15
    assert page.locator("#tables .spread").count() == 0
    assert MARKUP.split()[0] in page.locator("#facts").text_content()
    assert page.evaluate("window.alive") is None
    assert page.locator("#facts *, #about img").count() == 0


def test_skipped_selectors_are_listed(tmp_path: Path) -> None:
    dump = saved(tmp_path / "clip")
    run("compare", dump, "-s", "all", "-r", "0.3", "-q", "--seed", "0", "--html", str(tmp_path / "p.html"))
    (shown,) = data_of((tmp_path / "p.html").read_text(encoding="utf-8"))["dumps"]
    assert {"label": "fastervlm", "reason": "needs signal enc_cls_attn"} in shown["skipped"]
    assert "random" in [entry["label"] for entry in shown["thumbs"]["kept"]]


def test_a_report_without_thumbnails_or_rows(tmp_path: Path) -> None:
    result = compare_backends(clip(), backend_settings(("lattice-components",)), fidelity=False)
    save_report(tmp_path / "p.html", [Compared("x", clip(), result.rows, result.overlap)])
    (shown,) = data_of((tmp_path / "p.html").read_text(encoding="utf-8"))["dumps"]
    assert shown["thumbs"] is None
    assert shown["overlap"] == []
    titles = [column["title"] for column in shown["tables"][1]["columns"]]
    assert "nearest" not in titles
    with pytest.raises(InputError, match="a report needs rows"):
        save_report(tmp_path / "p.html", [])


@pytest.mark.usefixtures("unopened")
def test_a_page_that_cannot_be_written(refused: Refused) -> None:
    assert refused("compare", "--html", "nowhere/p.html").startswith("cannot write nowhere/p.html")


def test_several_videos_as_one() -> None:
    rows = [
        {
            "dump": name,
            "retain_ratio": 0.3,
            "n_events_kept": value,
            "backend": "",
            "selector": "evs",
            "exactness": "exact",
        }
        | {"n_visual": 10, "kind": "subset"}
        for name, value in (("a", 1), ("a", 3), ("b", 6))
    ]
    (table,) = summary_tables(rows, 2)
    assert table.title == "Kept, means over 2 videos ± one standard deviation"
    assert table.on_page()["rows"][0]["spreads"][0] == pytest.approx(stdev([2, 6]))
    (alone,) = summary_tables(rows[:2], 2)
    assert alone.on_page()["rows"][0]["spreads"] == [None]


@pytest.mark.slow
def test_every_figure_of_the_heat_map_stands_out(open_page: Open, backends: tuple[str, Any]) -> None:
    page = open_page(backends[0])
    least = page.evaluate(
        """() => Math.min(...Array.from({ length: 101 }, (_, i) => {
        const light = (rgb) => rgb.map((v) => (v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4))
          .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
        const stops = [[0, 34, 78], [87, 93, 109], [124, 123, 120], [187, 175, 113], [254, 232, 56]];
        const at = Math.min(3.9996, i / 25), k = Math.floor(at);
        const ground = light(stops[k].map((v, j) => v + (at - k) * (stops[k + 1][j] - v)));
        return Math.max((ground + 0.05) / 0.05, 1.05 / (ground + 0.05));
      }))"""
    )
    assert least >= 4.5
    cells = page.locator("#overlap td[title]:not(.quiet)").evaluate_all(
        "all => all.map((c) => getComputedStyle(c).color)"
    )
    assert set(cells) <= {"rgb(0, 0, 0)", "rgb(255, 255, 255)"}
