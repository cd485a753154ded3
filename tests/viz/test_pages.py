"""stgraph.compare and stgraph.view: the rows and pages of the commands, shown in a notebook and saved."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from clips import clip
from view_pages import data_of

import stgraph
from stgraph import Setting, VideoTokens
from stgraph.bench.compare import compare_backends
from stgraph.bench.compare_selectors import compare_selectors
from stgraph.bench.synthetic import synthetic_signals
from stgraph.community.default_backend import compared_backends
from stgraph.errors import InputError, MissingSignalError, UnknownNameError
from stgraph.pages import USUAL_RATIOS, USUAL_SPLITS, usual_settings
from stgraph.selection.settings import backend_settings, selector_settings


@pytest.fixture(scope="module")
def tokens() -> VideoTokens:
    return synthetic_signals(clip(title="A clip <of & tests>"))


def in_frame(shown: Any) -> str:
    """The page a notebook's cell holds."""
    (page,) = re.findall(r'^<iframe srcdoc="([^"]*)" style="[^"]*"></iframe>$', shown._repr_html_())
    return html.unescape(page)


def firm(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not name.endswith("_s")} for row in rows]


def test_a_view_is_the_page_of_what_is_kept(tokens: VideoTokens, tmp_path: Path) -> None:
    page = stgraph.view(tokens, ["st-simdiff", Setting("evs")], [0.3, 0.1])
    assert [(kept.setting.selector, kept.ratio) for kept in page.kept] == [
        *(("st-simdiff", ratio) for ratio in (0.3, 0.1)),
        *(("evs", ratio) for ratio in (0.3, 0.1)),
    ]
    page.save(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert in_frame(page) == page.html() == text
    assert data_of(text)["ratios"] == [0.1, 0.3]
    assert repr(page) == "View(2 settings at r = 0.3, 0.1, of 6x5x6 tokens)"


def test_a_view_of_nothing_said_has_the_usual_settings(tokens: VideoTokens) -> None:
    data = data_of(stgraph.view(tokens).html())
    assert (data["splits"], data["ratios"]) == (list(USUAL_SPLITS), list(USUAL_RATIOS))
    assert data["backends"] == list(compared_backends())


def test_parameters_of_a_view_go_to_the_selectors_that_take_them() -> None:
    made = usual_settings(("st-simdiff", "uniform"), ("lattice-components",), ("tree",), {"axis": "time"})
    assert [one.parameters.get("axis") for one in made] == [None, "time"]
    for backends, parameters, name in (((), {"tau_sim": 0.7}, "tau_sim"), (("igraph-leiden",), {}, "backend")):
        with pytest.raises(InputError, match=f"none of the selectors uniform, evs has a parameter '{name}'"):
            usual_settings(("uniform", "evs"), backends, parameters=parameters)


def test_a_comparison_of_backends(tokens: VideoTokens) -> None:
    settings = backend_settings(("lattice-components", "igraph-leiden"), ("tree", "raster"))
    found, expected = stgraph.compare(tokens, settings, 0.3, name="x"), compare_backends(tokens, settings, (0.3,))
    assert firm(found.rows) == firm([{**row, "dump": "x"} for row in expected.rows])
    assert found.overlap == [{**pair, "dump": "x"} for pair in expected.overlap]
    assert [len(kept.selection) for kept in found.kept] == [row["n_kept"] for row in found.rows]
    (shown,) = data_of(in_frame(found))["dumps"]
    assert len(shown["thumbs"]["kept"]) == 4
    every = stgraph.compare(tokens, ratios=0.3, fidelity=False)
    assert {row["backend"] for row in every.rows} == set(compared_backends())


def test_a_comparison_of_selectors(tokens: VideoTokens, tmp_path: Path) -> None:
    names = ["st-simdiff", "evs", "sttm", "random"]
    found = stgraph.compare(tokens, names, [0.1, 0.3])
    expected = compare_selectors(tokens, selector_settings(names), (0.1, 0.3), dump="video")
    drawn = {"seed": None}  # the default seed is not named
    assert firm([{**row, **drawn} for row in found.rows]) == firm([{**row, **drawn} for row in expected.rows])
    for suffix in ("html", "json", "csv"):
        found.save(tmp_path / f"out.{suffix}")
    assert json.loads((tmp_path / "out.json").read_text())["rows"] == json.loads(json.dumps(found.rows))
    assert (tmp_path / "out.html").read_text(encoding="utf-8") == found.html()
    assert {path.name for path in tmp_path.iterdir()} == {"out.html", "out.json", "out.csv", "out.overlap.csv"}
    assert repr(found) == "ComparisonPage(8 rows, of 6x5x6 tokens)"
    layers = stgraph.compare(tokens, "st-simdiff", 0.5, measured="layers")
    assert layers.rows[0]["measured"] == "layers"


@pytest.mark.parametrize(
    ("settings", "ratios", "error", "message"),
    [
        ("evz", 0.3, UnknownNameError, "no selector 'evz'"),
        (["evs", "vispruner"], 0.3, MissingSignalError, "enc_cls_attn"),
        ([], 0.3, InputError, "settings is empty"),
        ("evs", [], InputError, "ratios is empty"),
        ([("evs", 1)], 0.3, InputError, "pass the name of a selector or a stgraph.Setting"),
    ],
)
@pytest.mark.parametrize("show", [stgraph.compare, stgraph.view])
def test_what_cannot_be_shown(show: Any, settings: Any, ratios: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        show(clip(), settings, ratios)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            [Setting(parameters={"tau_sim": tau}) for tau in (0.7, 0.8)],
            "the same backend lattice-components, split tree, b",
        ),
        (["evs", Setting("sttm"), "evs"], "two settings have the same selector evs, by which rows are told apart"),
        ([Setting("srts", {"tau_sim": 0.7}), "srts"], "the same selector srts"),
    ],
)
def test_rows_that_could_not_be_told_apart(settings: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stgraph.compare(clip(), settings, 0.3)


def test_a_file_of_another_kind(tokens: VideoTokens, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a page is written; end its name in .html"):
        stgraph.view(tokens, "evs", 0.3).save(tmp_path / "page.pdf")
    with pytest.raises(InputError, match=r"a report or tables is written; end its name in .html or .htm or .json"):
        stgraph.compare(tokens, ["evs", "dets"], 0.3, fidelity=False).save(tmp_path / "page.txt")
    assert list(tmp_path.iterdir()) == []
