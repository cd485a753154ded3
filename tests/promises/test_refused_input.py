"""Input that could be misread without a word is refused with one of our own errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stgraph
from stgraph import EdgeList, TokenGrid, VideoTokens
from stgraph.errors import GridError, InputError, StgraphError

X = np.ones((2, 2, 3, 4), np.float32)

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "negative coordinate": (
        lambda: TokenGrid.from_coordinates([0] * 4, [0, 1, 1, 1], [0, -1, 0, 1], [0] * 4),
        "lattice",
    ),
    "fractional coordinate": (lambda: TokenGrid.from_coordinates([0.5], [0], [0]), "integers"),
    "kind beyond uint8": (lambda: TokenGrid(1, 1, 2, np.array([0, 256, 1])), "kind 256"),
    "unknown kind": (lambda: TokenGrid(1, 1, 2, np.array([0, 0, 9])), "kind 9"),
    "kind of rank 2": (lambda: TokenGrid(1, 1, 2, np.zeros((1, 2), np.uint8)), "shape"),
    "fractional position": (lambda: TokenGrid(2, 2, 2).node(0.5, 0, 0), "outside"),  # type: ignore[arg-type]
    "fractional node": (lambda: TokenGrid(2, 2, 2).position(1.5), "outside"),  # type: ignore[arg-type]
    "fractional edge": (lambda: EdgeList.from_arrays(4, [0.5], [2.7]), "src has dtype float64"),
    "weight beyond float32": (lambda: EdgeList.from_arrays(4, [0], [2], [1e300]), "finite weight"),
    "weight of text": (lambda: EdgeList.from_arrays(4, [0], [2], ["a"]), "weight has dtype"),
    "masked features": (lambda: VideoTokens.from_array(np.ma.masked_array(X)), "masked"),
    "ragged features": (lambda: VideoTokens.from_array([[1], [2, 3]]), "is not an array"),
    "importance of another shape": (
        lambda: VideoTokens.from_array(X, importance=np.ones((3, 2, 2))),
        "importance has shape",
    ),
    "grid that is none": (lambda: VideoTokens(X, (2, 2, 3)), "TokenGrid"),  # type: ignore[arg-type]
    "backend that is no name": (lambda: stgraph.detect_communities(EdgeList.from_arrays(1, [], []), ["a"]), "backend"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    work, text = REFUSED[name]
    with pytest.raises(StgraphError, match=text):
        work()


@pytest.mark.parametrize("name", ["a" * 300, "nul\0"])
def test_names_no_file_can_have(name: str, tmp_path: Path) -> None:
    tokens = VideoTokens.from_array(X)
    with pytest.raises(StgraphError, match="cannot write"):
        tokens.save(tmp_path / name)
    with pytest.raises(StgraphError, match="does not exist"):
        stgraph.load(tmp_path / name)


@pytest.mark.parametrize("name", ["features", "token_t", "__metadata__"])
def test_signals_may_not_take_the_place_of_what_every_dump_holds(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        stgraph.save_query(tmp_path / "query.safetensors", {name: np.ones(3, np.float32)})
    with pytest.raises(InputError, match=name):
        VideoTokens.from_array(X, signals={name: np.ones(3, np.float32)}).save(tmp_path / "dump.safetensors")


def test_metadata_too_deep_for_json(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InputError, match="JSON"):
        VideoTokens.from_array(X, metadata={"deep": deep}).save(tmp_path / "dump.safetensors")


def test_scalar_signals_keep_their_shape(tmp_path: Path) -> None:
    VideoTokens.from_array(X, signals={"mine": np.array(3, np.float32)}).save(tmp_path / "d.safetensors")
    assert stgraph.load(tmp_path / "d.safetensors").signals["mine"].shape == ()


def test_plain_lists_serve_as_signals() -> None:
    tokens = VideoTokens(X, TokenGrid(2, 2, 3), {"frame_time": [1.0, 2.0]})  # type: ignore[dict-item]
    assert tokens.signals["frame_time"].tolist() == [1.0, 2.0]
    with pytest.raises(InputError, match="frame_time"):
        VideoTokens(X, TokenGrid(2, 2, 3), {"frame_time": [1.0]})  # type: ignore[dict-item]


def test_another_threshold_keeps_the_edge_families() -> None:
    graph = stgraph.build_graph(VideoTokens.from_array(X), temporal=False)
    assert graph.with_threshold(0.5).families == ("right", "bottom")
    assert graph.with_threshold(temporal=True).families == ("right", "bottom", "temporal")
    assert graph.with_threshold(spatial=False).families == ()
    assert graph.with_threshold(right=False).families == ("bottom",)


def test_errors_are_also_built_in_ones() -> None:
    assert issubclass(GridError, ValueError)
