"""When selections are recorded and what is forgotten; recording itself needs a CUDA device (test_capture.py)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from selection_oracles import features
from tensors import same, tensor

import stgraph
from stgraph import Selection, VideoTokens
from stgraph.devices import to_host
from stgraph.selection.recordings import Recordings

pytestmark = pytest.mark.usefixtures("interpreter")


def tokens_of(T: int, seed: int = 3) -> VideoTokens:
    return VideoTokens.from_array(tensor(features(seed, (T, 2, 2, 8))))


class Noting:
    """Records nothing, but notes what would be recorded and replayed."""

    def __init__(self) -> None:
        self.recorded: list[int] = []
        self.replayed: list[int] = []

    def __call__(self, selector: Any, tokens: VideoTokens) -> Callable[[VideoTokens], Selection]:
        self.recorded.append(tokens.grid.T)

        def replay(given: VideoTokens) -> Selection:
            self.replayed.append(given.grid.T)
            selection: Selection = selector.select(given)
            return selection

        return replay


def test_a_shape_is_recorded_when_it_comes_again_and_the_oldest_forgotten() -> None:
    noting, selector = Noting(), stgraph.selector("srts", retain_ratio=0.5)
    recordings = Recordings(selector, most=2, record=noting, device="cpu")
    for T in (2, 2, 3, 2):
        found = recordings.begin(tokens_of(T), 1)
        same(found.indices, to_host(selector.select(tokens_of(T)).indices))  # type: ignore[union-attr]
    assert (noting.recorded, noting.replayed) == ([2], [2, 2])
    recordings.select(tokens_of(4))  # 3, the least recently used, goes
    recordings.select(tokens_of(2, seed=5))
    recordings.select(tokens_of(3))
    assert (noting.recorded, noting.replayed) == ([2], [2, 2, 2])
    assert recordings.name == "srts"
    assert copy.copy(recordings).budget == selector.budget


@pytest.mark.parametrize(
    ("name", "options"),
    [("st-simdiff", {}), ("srts", {"backend": "scipy-components"}), ("srts", {"split": "raster"})],
)
def test_what_cannot_be_recorded_is_selected_as_ever(name: str, options: dict[str, Any]) -> None:
    noting, selector = Noting(), stgraph.selector(name, retain_ratio=0.5, **options)
    recordings = Recordings(selector, record=noting, device="cpu")
    for _ in range(3):
        recordings.begin(tokens_of(2), 1)  # st-simdiff waits for attention
    assert noting.recorded == []


def test_on_another_device_nothing_is_recorded() -> None:
    noting = Noting()
    recordings = Recordings(stgraph.selector("srts", retain_ratio=0.5), record=noting)
    for _ in range(3):
        recordings.select(tokens_of(2))
    assert noting.recorded == []
