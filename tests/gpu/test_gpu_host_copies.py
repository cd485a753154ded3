"""No way out of the GPU engine copies features to host memory, and none copies anything else without saying so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from host_copies import none_as_large_as
from selection_oracles import features
from tensors import tensor

import stgraph
from stgraph import VideoTokens
from stgraph.devices import is_tensor
from stgraph.errors import UnavailableError

pytestmark = pytest.mark.usefixtures("interpreter")
SHAPE = (4, 3, 5, 64)
N = 60
HERE = [name for name, why in stgraph.backends().items() if why is None]


@pytest.fixture
def tokens() -> VideoTokens:
    return VideoTokens.from_array(tensor(features(9, SHAPE)))


@pytest.mark.parametrize("name", HERE)
def test_what_a_backend_copies_it_says(name: str, tokens: VideoTokens) -> None:
    """Where it says nothing, fewer numbers than there are nodes were read."""
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3, backend=name)
    with none_as_large_as(tokens.features.numel()) as seen:
        found = selector.select(tokens)
    said = found.provenance["community"]["host_copy"]
    assert is_tensor(found.indices) and "host_copy" not in found.report
    assert max(seen) < N if said is None else "copied to host memory" in said


@pytest.mark.parametrize("view", ["to_networkx", "to_igraph", "to_scipy", "to_arrow", "to_pandas", "summary"])
def test_views_of_a_graph_read_no_features(view: str, tokens: VideoTokens) -> None:
    graph = stgraph.build_graph(tokens)
    with none_as_large_as(tokens.features.numel()):
        assert getattr(graph, view)() is not None


def test_what_is_kept_is_handed_over_where_it_lies(tokens: VideoTokens, tmp_path: Path) -> None:
    import torch

    kept = stgraph.selector("st-simdiff", retain_ratio=0.3).select(tokens)
    rows: Any = None
    with none_as_large_as(len(kept) + 1) as seen:
        indices, rows = torch.from_dlpack(kept), kept.gather(tokens.features)
        again = kept.gather(tokens.features.reshape(N, -1))
        assert is_tensor(kept.nodes) and is_tensor(kept.mask)
    assert indices.equal(kept.indices) and rows.equal(again) and is_tensor(rows)
    assert seen == [len(kept)]  # the indices, to another library on the same device
    with none_as_large_as(tokens.features.numel()):  # a file gets the kept rows alone
        kept.save(tmp_path / "kept", tokens)


def test_a_stream_asks_for_frames_in_host_memory() -> None:
    import torch

    with pytest.raises(UnavailableError, match=r"frame is on meta, but is read on the CPU: pass frame.cpu\(\)"):
        stgraph.stream().push(torch.empty((3, 4, 8), device="meta"))
