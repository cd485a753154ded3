"""The page of ``stgraph view`` without a browser: what it holds, what is refused, and how the command behaves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from clips import SHAPE, clip, saved
from command_line import run
from refusals import Refused
from settings_of import filmed, page_of, setting, settings
from view_pages import array, data_of

import stgraph
from stgraph import VideoTokens, keep
from stgraph.bench.synthetic import synthetic_signals
from stgraph.community.default_backend import compared_backends
from stgraph.errors import InputError
from stgraph.pages import USUAL_SPLITS
from stgraph.selection.base import SELECTORS
from stgraph.selection.reasons import REASON_NAMES
from stgraph.viz.pages import inline_page, report, view
from stgraph.viz.pages.colouring import ALONE, community_colours
from stgraph.viz.pages.frames import first_frames_of_shots, frame_pictures, telling_frames
from stgraph.viz.pages.inline_page import ArrayPool, asset, json_text
from stgraph.viz.pages.shown import shown
from stgraph.viz.pages.view import view_page


def test_the_page_holds_what_was_computed() -> None:
    tokens = clip()
    made = settings(tokens)
    data = data_of(page_of(tokens, made))
    assert data["grid"] == list(SHAPE)
    assert data["ratios"] == [0.1, 0.3]
    assert data["shots"] == [3]
    graph = made[0].analysis.graph
    np.testing.assert_array_equal(array(data, data["similarity"]), graph.similarity.reshape(-1))
    for entry, one in zip(data["settings"], made, strict=True):
        partition = one.analysis.partition
        np.testing.assert_array_equal(array(data, entry["communities"]["labels"]), partition.labels)
        np.testing.assert_array_equal(array(data, entry["communities"]["uncapped"]), partition.uncapped_labels)
        np.testing.assert_array_equal(array(data, entry["communities"]["centrality"]), one.analysis.centrality)
        for place, (ratio, kept) in zip(entry["codes"], one.selections.items(), strict=True):
            codes = array(data, place)
            np.testing.assert_array_equal(np.flatnonzero(codes & 4), kept.indices)
            np.testing.assert_array_equal(codes[kept.indices] & 3, kept.reason)
            np.testing.assert_array_equal(
                np.flatnonzero(codes), np.union1d(np.flatnonzero(one.kept[ratio].candidates), kept.indices)
            )


def test_equal_arrays_are_there_once() -> None:
    pool = ArrayPool()
    places = [pool.add(np.array(values)) for values in ([1, 300], [1, 300], [1, 2], [1.0, 2.0])]
    assert places == [0, 0, 1, 2]
    assert [entry["dtype"] for entry in pool.entries] == ["u2", "u1", "f4"]


def test_text_of_files_is_inert() -> None:
    nasty = "</script><script>alert(1)</script><!--\u2028&amp;"
    page = page_of(clip(title=nasty, other=[nasty]), [setting(clip())])
    assert page.count("<script") == 2  # the data and the page's own
    assert "alert(1)</script>" not in page
    assert data_of(page)["title"] == nasty
    assert json.loads(json_text(nasty)) == nasty
    assert not set("<>&\u2028") & set(json_text(nasty))
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))


def test_the_scripts_put_text_into_the_page_as_text() -> None:
    folder = Path(inline_page.__file__).with_name("assets")
    scripts = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.js")}
    assert set(view.SCRIPTS) | set(report.SCRIPTS) == scripts.keys()
    alive = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|fetch\(|XMLHttp|import\("
    )
    assert {name: alive.findall(script) for name, script in scripts.items()} == {name: [] for name in scripts}


def test_the_policy_names_the_very_script() -> None:
    page = page_of(clip(), [setting(clip())])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy[1]


@pytest.mark.parametrize("backend", ["lattice-components", "igraph-leiden"])
@pytest.mark.parametrize("split", ["tree", "raster"])
def test_neighbours_differ_in_colour(backend: str, split: str) -> None:
    tokens = stgraph.sample()
    partition = stgraph.detect_communities(stgraph.build_graph(tokens), backend, split=split)
    colours = community_colours(tokens.grid, partition.labels)
    assert (colours == ALONE).tolist() == (partition.sizes == 1).tolist()
    painted = colours[partition.labels].reshape(tokens.grid.shape)
    labels = partition.labels.reshape(tokens.grid.shape)
    same = meet = 0
    for axis in range(3):
        steps = np.diff(labels, axis=axis) != 0
        n = tokens.grid.shape[axis]
        first, second = painted.take(range(n - 1), axis), painted.take(range(1, n), axis)
        border = steps & (first != ALONE) & (second != ALONE)
        meet += int(border.sum())
        same += int((border & (first == second)).sum())
    assert same < 0.01 * meet


def test_a_region_keeps_its_colour_under_another_backend() -> None:
    tokens = stgraph.sample()
    graph = stgraph.build_graph(tokens)
    a, b = (stgraph.detect_communities(graph, n).uncapped_labels for n in ("lattice-components", "igraph-leiden"))
    first = community_colours(tokens.grid, a)
    np.testing.assert_array_equal(community_colours(tokens.grid, a, (a, first)), first)
    second = community_colours(tokens.grid, b, (a, first))
    free = community_colours(tokens.grid, b)
    agree = (first[a] == second[b]).mean()
    assert agree > 0.7 > (first[a] == free[b]).mean()


def test_sentences() -> None:
    one = setting(stgraph.sample(), ratios=(0.3,))
    assert one.finding() == "18 of 1,337 communities are larger than √N = 101 and hold 61 % of all tokens."
    assert one.kept_sentence(0.3) == (
        "The cap cuts these into pieces, 1,398 in all. "
        "r = 0.3 keeps 3,072 of 10,240 tokens: 2,465 representatives, 362 events, 245 both."
    )
    free, wide, five = (setting(clip(), max_size=size) for size in (None, 1000, 5))
    assert "There is no size cap." in free.finding()
    assert wide.finding().endswith("none larger than the cap = 1,000 tokens.")
    assert "larger than the cap = 5" in five.finding()
    assert free.kept_sentence(0.3).startswith("r = 0.3 keeps 54 of 180 tokens: ")


def test_frames() -> None:
    tokens = filmed()
    pictures = frame_pictures(tokens)
    assert pictures is not None
    assert b"".join(pictures) == tokens.signals["frame_jpeg"].tobytes()
    assert frame_pictures(clip()) is None
    assert first_frames_of_shots(tokens) == [3]
    assert first_frames_of_shots(VideoTokens.from_array(clip().lattice)) is None
    assert telling_frames(tokens, [0, 5, 0, 1, 2, 9], 3) == [1, 3, 5]
    assert telling_frames(tokens, [0] * 6, 9) == [0, 1, 2, 3, 4, 5]
    lengths = tokens.signals["frame_jpeg_len"] + 1
    wrong = VideoTokens(tokens.features, tokens.grid, {**tokens.signals, "frame_jpeg_len": lengths})
    with pytest.raises(InputError, match=r"'frame_jpeg_len' adds up to .* drop both signals"):
        frame_pictures(wrong)


def test_settings_that_do_not_belong_together() -> None:
    tokens = clip()
    one = setting(tokens)
    with pytest.raises(InputError, match="at least one setting"):
        page_of(tokens, [])
    with pytest.raises(InputError, match="two settings are lattice-components with splitter tree"):
        page_of(tokens, [one, setting(tokens, seed=1)])
    with pytest.raises(InputError, match="a setting is of a 6x5x6 video, but these tokens are 2x5x6"):
        page_of(VideoTokens.from_array(tokens.lattice[:2]), [one])
    with pytest.raises(InputError, match=r"igraph-leiden / tree has the retain ratios \[0\.5\]"):
        page_of(tokens, [one, setting(tokens, "igraph-leiden", ratios=(0.5,))])
    with pytest.raises(InputError, match="must share tau_sim"):
        page_of(tokens, [one, setting(tokens, "igraph-leiden", tau_sim=0.7)])


def test_a_page_of_selectors_without_communities() -> None:
    tokens = synthetic_signals(clip())
    made = shown(keep(tokens, ["evs", "sttm", "fastv", "random"], [0.1, 0.3]))
    data = data_of(view_page(tokens, [k for one in made for k in one.kept.values()]))
    assert (data["tau_sim"], data["event_threshold"], data["splits"]) == (None, None, [])
    assert data["backends"] == ["evs", "sttm", "fastv", "random"]
    names = set()
    for one, entry in zip(made, data["settings"], strict=True):
        assert entry["communities"] is None
        kept = one.selections[0.3]
        codes = array(data, entry["codes"][1])
        np.testing.assert_array_equal(np.flatnonzero(codes), kept.indices)
        found = codes[kept.indices]
        assert (found & 4).all()
        np.testing.assert_array_equal(np.where(found >> 3, found >> 3, found & 3), kept.reason)
        assert all(data["reasons"][str(code)] == REASON_NAMES[code] for code in kept.reason)
        assert f"r = 0.3 keeps {len(kept)} of 180 tokens" in entry["kept"][1]
        names |= set(kept.reasons())
    assert len(names) > 2


def test_a_page_of_all_kinds() -> None:
    tokens = synthetic_signals(clip())
    names = SELECTORS.names()
    data = data_of(view_page(tokens, keep(tokens, names, 0.3)))
    assert data["backends"][:2] == ["lattice-components", "st-simdiff-attention / lattice-components"]
    assert {entry["backend"] for entry in data["settings"] if entry["communities"] is None} == set(names) - {
        "st-simdiff",
        "st-simdiff-attention",
        "srts",
    }
    assert data["event_threshold"] == 0.2  # of those that know events


def test_the_command(tmp_path: Path) -> None:
    dump, target = saved(tmp_path / "clip.safetensors"), tmp_path / "page.html"
    said = run(
        "view", dump, "-o", str(target), "-b", "lattice-components", "-b", "igraph-leiden", "-r", "0.5", "-r", "0.2"
    )
    assert f"Wrote {target} (0.1 MB, 6 settings); open it in a browser" in " ".join(said.split())
    data = data_of(target.read_text(encoding="utf-8"))
    assert data["backends"] == ["lattice-components", "igraph-leiden"]
    assert data["splits"] == ["tree", "raster", "redetect"]
    assert data["ratios"] == [0.2, 0.5]
    assert (
        run("view", dump, "-o", str(target), "-q", "-b", "leidenalg-leiden", "--split", "native", "--split", "tree")
        == ""
    )
    assert [s["split"] for s in data_of(target.read_text(encoding="utf-8"))["settings"]] == ["native", "tree"]


def test_the_command_shows_any_selector(tmp_path: Path) -> None:
    dump, target = saved(tmp_path / "clip.safetensors"), tmp_path / "page.html"
    one = ("-b", "lattice-components", "--split", "tree", "-r", "0.3", "-q", "-o", str(target))
    run("view", dump, "-s", "evs", "-s", "st-simdiff", "-s", "srts", *one)
    data = data_of(target.read_text(encoding="utf-8"))
    assert data["backends"] == ["evs", "lattice-components", "srts / lattice-components"]
    run("view", dump, "-s", "all", *one)
    shown = {entry["backend"] for entry in data_of(target.read_text(encoding="utf-8"))["settings"]}
    assert {"evs", "uniform", "sttm"} < shown and not {"fastervlm", "vispruner"} & shown


def test_the_page_of_the_sample_is_small() -> None:
    tokens, ratios = stgraph.sample(), (0.1, 0.2, 0.3, 0.5, 0.7)
    made = [setting(tokens, split=split, ratios=ratios) for split in ("tree", "raster")]
    one, two = (len(page_of(tokens, made[:n]).encode()) for n in (1, 2))
    n_settings = len(compared_backends()) * len(USUAL_SPLITS)  # what ``stgraph view`` computes when nothing is said
    assert one + (n_settings - 1) * (two - one) < 12e6
    written = sum(len(asset(name).encode()) for name in (*view.STYLES, *view.SCRIPTS, "view.html"))
    gallery = Path(__file__).parents[2] / "docs" / "gallery.md"
    assert not gallery.exists() or f"of which {written / 1000:.0f} kB are code and style" in gallery.read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-b", "igraph-leidn"), "no community backend 'igraph-leidn'. Did you mean 'igraph-leiden'?"),
        (("--split", "rastr"), "no splitter 'rastr'. Did you mean 'raster'?"),
        (("-r", "1.5"), "retain_ratio is 1.5; it must lie in (0, 1]"),
        (("-o", "nowhere/page.html"), "cannot write nowhere/page.html: choose an existing folder you may write to"),
        (("--tau-sim", "2"), "tau_sim is 2.0; a cosine similarity threshold lies in [-1, 1]"),
        (("--seed", "-1"), "seed is -1"),
        (("-s", "evz"), "no selector 'evz'. Did you mean 'evs'?"),
        (("-b", "lattice-components", "--split", "native"), "split='native': lattice-components has no cap of its own"),
    ],
)
@pytest.mark.usefixtures("unopened")
def test_wrong_command_lines(
    refused: Refused,
    args: tuple[str, ...],
    message: str,
) -> None:
    assert refused("view", *args).startswith(message)
