"""Python's own functions, files and views of what the GPU engine made (in the interpreter)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selection_oracles import features
from tensors import tensor

import stgraph
from stgraph import EdgeList, Partition, Selection, VideoTokens
from stgraph.arrays import answer
from stgraph.devices import is_tensor
from stgraph.errors import UnavailableError
from stgraph.lattice_edges import LatticeEdges

X = features(7, (2, 3, 4, 8))


@pytest.fixture
def found(interpreter: None) -> tuple[Any, Any]:
    """(tokens, graph, communities, selection) of the CPU engine, and of the GPU engine."""
    made = []
    for tokens in (VideoTokens.from_array(X), VideoTokens.from_array(tensor(X))):
        graph = stgraph.build_graph(tokens, 0.5)
        kept = stgraph.selector("st-simdiff", retain_ratio=0.4).select(tokens)
        made.append((tokens, graph, stgraph.detect_communities(graph), kept))
    return made[0], made[1]


@pytest.mark.slow
def test_python_says_the_same(found: Any) -> None:
    (tokens, graph, parts, kept), (on_tokens, on_graph, on_parts, on_kept) = found
    assert is_tensor(on_parts.labels) and is_tensor(on_kept.indices)
    assert [len(x) for x in found[1]] == [len(x) for x in found[0]]
    assert list(on_kept) == list(kept)
    assert on_kept[0] == kept[0] and kept[0] in on_kept and -1 not in on_kept
    assert [m.tolist() for m in on_parts] == [m.tolist() for m in parts]
    assert [(a, b) for a, b, _ in on_graph.edges] == [(a, b) for a, b, _ in graph.edges]
    assert all(is_tensor(row) for row in on_tokens)
    for mine, theirs in ((tokens, on_tokens), (parts, on_parts), (kept, on_kept)):
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))  # in host memory, here
    given = VideoTokens.from_array(tensor(X.reshape(2, 12, 8)), grid=(3, 4))
    assert given.on_gpu and given.grid.shape == (2, 3, 4)


@pytest.mark.slow
def test_files_come_back_in_host_memory(found: Any, tmp_path: Path) -> None:
    (_, _, parts, kept), (on_tokens, _, on_parts, on_kept) = found
    on_parts.save(tmp_path / "parts")
    on_kept.save(tmp_path / "kept", on_tokens)
    np.testing.assert_array_equal(Partition.load(tmp_path / "parts").labels, parts.labels)
    assert Selection.load(tmp_path / "kept").indices.tolist() == kept.indices.tolist()


@pytest.mark.slow
def test_views_know_the_lattice(found: Any) -> None:
    graph, on_graph = found[0][1], found[1][1]
    assert list(on_graph.to_networkx().edges(data="family")) == list(graph.to_networkx().edges(data="family"))
    moved = on_graph.edges.to("cpu")
    assert isinstance(moved, LatticeEdges) and not moved.on_gpu
    assert isinstance(found[1][2].to("cpu").edges, LatticeEdges)
    back = EdgeList.from_networkx(on_graph.to_networkx())
    assert [(a, b) for a, b, _ in back] == [(a, b) for a, b, _ in graph.edges]


def test_numpy_copies_nothing_from_a_device_unasked() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(
        UnavailableError, match=r"the tokens lie on meta, and NumPy reads host memory: call .to\('cpu'\)"
    ):
        answer(torch.empty(3, device="meta"), "tokens", None, None)
