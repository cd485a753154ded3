"""What notebooks show of tokens, graphs, partitions and selections: the right figures, and nothing alive in them."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from clips import SHAPE, clip
from settings_of import filmed

import stgraph
from stgraph import VideoTokens, colours
from stgraph import notebook_html as fragments
from stgraph.community.partition_html import size_edges

MARKUP = "<script>alert(1)</script><img src=x onerror='alert(1)'>\"'"


class Elements(HTMLParser):
    """The elements of a piece of HTML with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def shown(value: Any) -> Elements:
    elements = Elements(value._repr_html_())
    assert elements.open == []
    assert not elements.of("script")
    for name, attributes in elements.found:
        assert not any(key.startswith("on") for key in attributes), name
        assert (attributes.get("src") or "data:").startswith("data:")
    return elements


def test_tokens() -> None:
    tokens = filmed(title=MARKUP, **{MARKUP: MARKUP})
    elements = shown(tokens)
    assert elements.text.startswith(repr(tokens))
    assert elements.text.count(MARKUP) == 3
    sources = [attributes["src"] or "" for attributes in elements.of("img")]
    files = [base64.b64decode(source.removeprefix("data:image/jpeg;base64,")) for source in sources]
    assert b"".join(files) == tokens.signals["frame_jpeg"].tobytes()
    assert "frame_time" in elements.text
    assert not shown(clip()).of("img")
    lengths = tokens.signals["frame_jpeg_len"] + 1
    assert not shown(VideoTokens(tokens.features, tokens.grid, {**tokens.signals, "frame_jpeg_len": lengths})).of("img")


def test_a_graph() -> None:
    graph = stgraph.build_graph(clip())
    elements = shown(graph)
    assert elements.text.startswith(repr(graph))
    assert "tau_sim 0.8" in elements.text
    temporal = [float(v) for v in re.findall(r"in time: ([\d.e-]+)", elements.text)]
    assert sum(temporal) == pytest.approx(100, abs=0.1)
    alone = shown(stgraph.build_graph(VideoTokens.from_array(np.ones((1, 1, 1, 4), np.float32))))
    assert not alone.of("svg")


@pytest.mark.parametrize("max_size", ["sqrt", None])
def test_a_partition(max_size: Any) -> None:
    partition = stgraph.detect_communities(stgraph.build_graph(clip()), "lattice-components", max_size=max_size)
    elements = shown(partition)
    before = [float(v) for v in re.findall(r", before the cap: ([\d.e-]+)", elements.text)]
    after = [float(v) for v in re.findall(r", after: ([\d.e-]+)", elements.text)]
    assert sum(before) == pytest.approx(100, abs=0.1)
    assert sum(after) == pytest.approx(100, abs=0.1)
    edges = size_edges(int(partition.uncapped_sizes.max()), partition.provenance.max_size)
    assert len(before) == len(edges)
    if max_size is not None:
        above = partition.uncapped_sizes[partition.uncapped_sizes > 13].sum() / 1.8
        assert sum(before[edges.index(13) + 1 :]) == pytest.approx(above, abs=0.1)
        assert sum(after[edges.index(13) + 1 :]) == 0
        assert "cap: 13" in elements.text


@pytest.mark.parametrize("name", ["st-simdiff", "uniform", "framefusion"])
def test_a_selection(name: str) -> None:
    kept = stgraph.selector(name, retain_ratio=0.3).select(clip())
    elements = shown(kept)
    (picture,) = elements.of("img")
    image = pytest.importorskip("PIL.Image", reason="needs Pillow to read the picture back")
    data = base64.b64decode((picture["src"] or "").removeprefix("data:image/png;base64,"))
    sheet = np.asarray(image.open(io.BytesIO(data)))
    T, H, W = SHAPE
    assert sheet.shape == (H, T * (W + 1) - 1, 3)
    frames = np.stack([sheet[:, t * (W + 1) : t * (W + 1) + W] for t in range(T)])
    dropped = (frames == colours.rgb(colours.DROPPED)).all(axis=-1)
    np.testing.assert_array_equal(~dropped, kept.mask)
    events = (frames == colours.rgb(colours.EVENT)).all(axis=-1).sum()
    assert events == kept.reasons().get("event", 0)


def test_a_png_is_what_it_was_made_of() -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow to read the picture back")
    rgb = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(image.open(io.BytesIO(fragments.png(rgb)))), rgb)


def test_a_contact_sheet_has_a_line_between_frames() -> None:
    sheet = fragments.contact_sheet(np.zeros((5, 2, 3, 3), np.uint8), columns=2)
    assert sheet.shape == (8, 7, 3)
    assert (sheet[2] == 128).all()
    assert (sheet[6:, 4:] == 128).all()  # no sixth frame
    assert (sheet[:2, 4:] == 0).all()
