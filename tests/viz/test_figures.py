"""Figures are ordinary matplotlib figures that hold the right data, in files of the right kind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import SHAPE, clip
from settings_of import filmed, setting, with_pictures

import stgraph
from stgraph import colours
from stgraph.errors import InputError, MissingDependencyError
from stgraph.viz.figures.process import process_figure
from stgraph.viz.figures.sizes import size_figure
from stgraph.viz.figures.style import save_figure
from stgraph.viz.figures.video import kept_per_frame_figure, similarity_figure

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """No figure changes the user's settings or opens a window."""
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before


def boxes(axes: Any, colour: str) -> set[tuple[int, int]]:
    """(row, column) of the boxes of a colour drawn over a frame."""
    found = set()
    for drawn in axes.collections:
        if matplotlib.colors.to_hex(drawn.get_edgecolor()[0]) == colour:
            for path in drawn.get_paths():
                x, y = path.vertices[0]
                found.add((int(y), int(x)))
    return found


def test_the_process() -> None:
    tokens = filmed()
    one = setting(tokens)
    kept, partition = one.selections[0.3], one.analysis.partition
    frames = [2, 3, 4]
    figure = process_figure(one.analysis, kept, frames)
    assert isinstance(figure, matplotlib.figure.Figure)
    rows = np.reshape(figure.axes, (4, 3))
    assert [axes.get_title() for axes in rows[0]] == ["2 · 2 s", "3 · 3 s", "4 · 4 s"]
    labels = partition.uncapped_labels.reshape(SHAPE)
    found, counts = np.unique(labels[frames], return_counts=True)
    shown = found[np.argsort(-counts, kind="stable")][:2]
    for row, c in zip(rows[1:3], shown, strict=True):
        assert str(partition.uncapped_sizes[c]) in row[0].get_ylabel()
        for axes, t in zip(row, frames, strict=True):
            (overlay,) = [image for image in axes.images if image.get_array().shape == (*SHAPE[1:], 4)]
            np.testing.assert_array_equal(np.asarray(overlay.get_array())[..., 3] == 0.45, labels[t] == c)
    reason = np.zeros(tokens.grid.n_nodes, int)
    reason[kept.indices] = kept.reason
    for axes, t in zip(rows[3], frames, strict=True):
        there = reason.reshape(SHAPE)[t]
        assert boxes(axes, colours.EVENT) == {tuple(p) for p in np.argwhere(there >= 2).tolist()}
        assert boxes(axes, colours.REPRESENTATIVE) == {
            tuple(p) for p in np.argwhere((there == 1) | (there == 3)).tolist()
        }


def test_the_process_shows_six_frames_around_the_events() -> None:
    tokens = stgraph.sample()
    one = setting(tokens, ratios=(0.3,))
    figure = process_figure(one.analysis, one.selections[0.3], n_communities=0)
    middle = int(one.analysis.events.reshape(40, -1).sum(1).argmax())
    titles = [axes.get_title() for axes in figure.axes[:6]]
    assert titles == [f"{t} · {40 + t} s" for t in range(middle - 3, middle + 3)]
    assert len(figure.axes) == 12


@pytest.mark.parametrize("kind", ["none", "broken"])
def test_the_process_without_pictures(kind: str) -> None:
    tokens = clip() if kind == "none" else with_pictures(clip(), broken=3)
    one = setting(tokens)
    figure = process_figure(one.analysis, one.selections[0.3], [3])
    assert not any(image.get_array().shape[-1] == 3 for image in figure.axes[0].images)


def test_what_the_process_refuses() -> None:
    one, other = setting(clip()), setting(stgraph.VideoTokens.from_array(clip().lattice[:2]))
    with pytest.raises(InputError, match="frame 6 is not in the video; frames are numbered from 0 to 5"):
        process_figure(one.analysis, one.selections[0.3], [6])
    with pytest.raises(InputError, match="frames is empty"):
        process_figure(one.analysis, one.selections[0.3], [])
    with pytest.raises(InputError, match="the selection is of a 2x5x6 video, the analysis of 6x5x6"):
        process_figure(one.analysis, other.selections[0.3])


def test_sizes() -> None:
    graph = stgraph.build_graph(stgraph.sample())
    names = ("lattice-components", "igraph-leiden")
    partitions = {name: stgraph.detect_communities(graph, name) for name in names}
    left, right = size_figure(partitions).axes
    for line, name in zip(left.lines, names, strict=False):
        sizes = partitions[name].uncapped_sizes
        assert line.get_label() == name
        x, y = line.get_data()
        at = int(np.searchsorted(x, 100))
        assert y[at] == pytest.approx(100 * sizes[sizes >= x[at]].sum() / 10_240)
    assert "61 % above\nthe cap of 101" in left.texts[0].get_text()
    assert right.texts[0].get_text() == "1,513 in 18"
    assert sum(bar.get_width() for bar in right.patches if round(bar.get_y() + bar.get_height() / 2) == 0) == 1513
    with pytest.raises(InputError, match="partitions is empty"):
        size_figure({})
    small = stgraph.detect_communities(stgraph.build_graph(clip()), "lattice-components", max_size=None)
    with pytest.raises(InputError, match=r"have 180, 10240 tokens"):
        size_figure({"a": small, "b": partitions[names[0]]})
    assert size_figure({"a": small}).axes[0].texts[:] == []
    assert "and their pieces" in right.get_title(loc="left")
    native = stgraph.detect_communities(stgraph.build_graph(clip()), "leidenalg-leiden", split="native")
    left, right = size_figure({"a": native}).axes
    share = native.uncapped_sizes[native.uncapped_sizes > 13].sum() / 1.8
    assert left.texts[0].get_text().startswith(f"{share:.0f} % above")
    assert "and those under the cap" in right.get_title(loc="left")


def test_similarity() -> None:
    graph = stgraph.build_graph(clip())
    (axes,) = similarity_figure(graph, 0.2).axes
    temporal = graph.temporal_similarity
    share = 100 * (temporal > 0.8).mean()
    assert axes.get_legend_handles_labels()[1][1] == f"in time: {share:.0f} % above 0.8"
    assert [line.get_xdata()[0] for line in axes.lines] == [0.8, 0.2]
    counts = axes.patches[1].get_data().values
    assert counts.sum() == pytest.approx(100)
    assert len(similarity_figure(graph).axes[0].lines) == 1


def test_kept_per_frame() -> None:
    tokens = clip()
    kept = setting(tokens).selections[0.3]
    (axes,) = kept_per_frame_figure(tokens, kept).axes
    tall = np.zeros(SHAPE[0])
    for bar in axes.patches:
        tall[round(bar.get_x() + bar.get_width() / 2)] += bar.get_height()
    np.testing.assert_array_equal(tall, kept.mask.sum(axis=(1, 2)))
    assert [line.get_xdata()[0] for line in axes.lines] == [2.5]


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_files(tmp_path: Path, suffix: str, start: bytes) -> None:
    figure = similarity_figure(stgraph.build_graph(clip()))
    for name in ("a", "b"):
        save_figure(figure, tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes().startswith(start)
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot tell the format of x\.gif by its suffix; end it in \.png, \.svg or"):
        save_figure(similarity_figure(stgraph.build_graph(clip())), "x.gif")


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    graph = stgraph.build_graph(clip())
    with pytest.raises(MissingDependencyError, match=r"drawing figures needs .* pip install -e '\.\[viz\]'"):
        similarity_figure(graph)


def test_logarithmic_axes_show_plain_numbers() -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[viz]'")
    from matplotlib.figure import Figure

    from stgraph.viz.figures.style import log_ticks, styled

    @styled
    def drawn() -> list[str]:
        axes = Figure().subplots()
        axes.plot([1, 2000], [0, 1])
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
        axes.figure.canvas.draw()
        return [tick.get_text() for tick in axes.get_xticklabels()]

    assert {"1", "10", "100", "1,000"} <= set(drawn())
