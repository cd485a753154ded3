"""Partitions and selections as files: they come back as they were, and what is damaged is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import clip
from feature_zoo import features, newline_per_row
from safetensors.numpy import load_file
from zoo import ZOO

import stgraph
from stgraph import EdgeList, Partition, Selection, TokenGrid, VideoTokens, container
from stgraph.bench.synthetic import synthetic_signals
from stgraph.errors import DumpFormatError, InputError
from stgraph.lattice_edges import LatticeEdges
from stgraph.selection.base import SELECTORS


def plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))


# Partitions


def same_partition(a: Partition, b: Partition) -> None:
    for x, y in ((a.labels, b.labels), (a.uncapped_labels, b.uncapped_labels)):
        assert x.dtype == y.dtype == np.int32
        np.testing.assert_array_equal(x, y)
    assert list(a.edges) == list(b.edges)
    assert (a.edges.n_nodes, a.edges.names) == (b.edges.n_nodes, b.edges.names)
    assert a.provenance == b.provenance
    assert repr(a) == repr(b)
    np.testing.assert_equal(a.summary(), b.summary())


@pytest.mark.parametrize("tau", [-1.0, 0.8])
@pytest.mark.parametrize("backend", ["lattice-components", "igraph-leiden"])
def test_a_partition_of_tokens_comes_back(tmp_path: Path, backend: str, tau: float) -> None:
    graph = stgraph.build_graph(clip(), tau)
    if backend == "igraph-leiden" and tau < 0:
        graph = graph.with_threshold(0.0, bottom=False)
    parts = stgraph.detect_communities(graph, backend)
    parts.save(tmp_path / "parts.safetensors")
    back = Partition.load(tmp_path / "parts.safetensors")
    same_partition(parts, back)
    assert isinstance(back.edges, LatticeEdges)
    assert back.edges.to_networkx().nodes[7] == graph.to_networkx().nodes[7]


@pytest.mark.parametrize("shape", ZOO)
def test_a_partition_of_any_graph_comes_back(tmp_path: Path, shape: str) -> None:
    edges = ZOO[shape]()
    parts = stgraph.detect_communities(edges, "scipy-components", max_size=3)
    parts.save(tmp_path / "x")
    same_partition(parts, Partition.load(tmp_path / "x"))


@pytest.mark.parametrize("names", ["abc", (7, 9, 11)])
def test_names_come_back(tmp_path: Path, names: Any) -> None:
    parts = stgraph.detect_communities(EdgeList.from_arrays(3, [0], [2], names=names))
    parts.save(tmp_path / "x")
    same_partition(parts, Partition.load(tmp_path / "x"))


def test_a_cap_inside_the_search_comes_back(tmp_path: Path) -> None:
    parts = stgraph.detect_communities(ZOO["video"](), "leidenalg-leiden", max_size=7, split="native")
    parts.save(tmp_path / "x")
    back = Partition.load(tmp_path / "x")
    assert back.capped_in_search
    same_partition(parts, back)


def test_names_that_no_file_holds_are_refused_before_a_file_is_touched(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    parts = stgraph.detect_communities(EdgeList.from_arrays(2, [0], [1], names=[(0, 1), (2, 3)]))
    with pytest.raises(InputError, match=r"a node is called \(0, 1\) \(tuple\); .* rename the nodes"):
        parts.save(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "old"


def test_a_loaded_partition_needs_its_file_no_more(tmp_path: Path) -> None:
    parts = stgraph.detect_communities(stgraph.build_graph(clip()))
    parts.save(tmp_path / "x")
    back = Partition.load(tmp_path / "x")
    (tmp_path / "x").unlink()
    same_partition(parts, back)
    assert back.quotient().n_nodes == len(parts)


def parts_file(path: Path, **changes: Any) -> None:
    """A partition of four nodes, with tensors or metadata replaced."""
    tensors = {
        "labels": np.array([0, 0, 1, 1], np.int32),
        "uncapped_labels": np.array([0, 0, 0, 0], np.int32),
        "src": np.array([0, 1, 2], np.int32),
        "dst": np.array([1, 2, 3], np.int32),
        "weight": np.ones(3, np.float32),
    }
    parts = stgraph.detect_communities(EdgeList.from_arrays(4, [0], [1]))
    metadata = {"graph": {"n_nodes": 4}, "capped_in_search": False, "provenance": parts.provenance.to_dict()}
    for name, value in changes.items():
        (metadata if name in metadata else tensors)[name] = value  # type: ignore[index]
    container.write(path, "partition", {k: v for k, v in tensors.items() if v is not None}, metadata)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": np.array([0, 0, 1], np.int32)},
            r"labels are int32 of shape \(3,\); expected int32 of shape \(4,\)",
        ),
        ({"labels": np.array([0, 0, 1, 1])}, "labels are int64"),
        ({"labels": np.array([1, 1, 0, 0], np.int32)}, "do not number communities by their smallest node"),
        ({"uncapped_labels": np.array([0, -1, 0, 0], np.int32)}, "uncapped_labels do not number"),
        ({"labels": np.array([0, 2**30, 0, 0], np.int32)}, "labels do not number"),
        ({"weight": None}, "it lacks 'weight'"),
        ({"dst": np.array([1, 2, 9], np.int32)}, r"edge 2 is \(2, 9\)"),
        ({"graph": {}}, "it lacks 'n_nodes'"),
        ({"graph": {"n_nodes": -1}}, "n_nodes is -1"),
        ({"graph": {"n_nodes": 4, "names": ["a"]}}, "1 names for 4 nodes"),
        (
            {"graph": {"n_nodes": 4, "tau": 0, "switches": [1, 0, 0]}, "similarity": np.ones((3, 1, 2, 2), np.float32)},
            "switches",
        ),
        ({"graph": {"n_nodes": 4}, "similarity": np.ones((2, 1, 2, 2), np.float32)}, "it lacks 'switches'"),
        (
            {
                "graph": {"n_nodes": 5, "tau": 0.5, "switches": [True] * 3},
                "similarity": np.ones((3, 1, 2, 2), np.float32),
            },
            "5 nodes on a lattice of 4",
        ),
        ({"provenance": {}}, "missing 9 required"),
        ({"provenance": {"colour": "red"}}, "its provenance has 'colour'"),
        ({"provenance": []}, "missing 9 required"),
    ],
)
def test_damaged_partitions_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    parts_file(tmp_path / "x", **changes)
    with pytest.raises(DumpFormatError, match=message):
        Partition.load(tmp_path / "x")


def test_the_plain_file_is_read(tmp_path: Path) -> None:
    parts_file(tmp_path / "x")
    assert [m.tolist() for m in Partition.load(tmp_path / "x")] == [[0, 1], [2, 3]]


# Selections


def same_selection(a: Selection, b: Selection) -> None:
    for name in ("indices", "reason", "scores"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)
    assert a.grid == b.grid
    assert (a.account, a.kind, a.positions, a.exactness) == (b.account, b.kind, b.positions, b.exactness)
    assert (plain(dict(a.report)), plain(dict(a.provenance))) == (b.report, b.provenance)
    assert repr(a) == repr(b)
    assert (a.features is None) == (b.features is None)
    if a.features is not None:
        assert a.features.tobytes() == b.features.tobytes()
        assert (a.assignment != b.assignment).nnz == 0


@pytest.mark.parametrize("name", SELECTORS.names())
def test_a_selection_comes_back(tmp_path: Path, name: str) -> None:
    tokens = synthetic_signals(clip())
    kept = stgraph.selector(name, retain_ratio=0.3).select(tokens)
    kept.save(tmp_path / "kept.safetensors", tokens)
    back = Selection.load(tmp_path / "kept.safetensors")
    same_selection(kept, back)
    np.testing.assert_array_equal(back.gather(tokens.features), kept.gather(tokens.features))
    assert back.indices.flags.owndata
    assert np.array_equal(load_file(tmp_path / "kept.safetensors")["features"], kept.gather(tokens.features))


def test_newlines_come_back(tmp_path: Path) -> None:
    kind = newline_per_row(3, 4, 5)
    tokens = VideoTokens(features((kind.size, 7)), TokenGrid(3, 4, 5, kind))
    kept = stgraph.selector("uniform", retain_ratio=0.5, newlines="in").select(tokens)
    kept.save(tmp_path / "x", tokens)
    same_selection(kept, Selection.load(tmp_path / "x"))


def test_a_selection_is_saved_without_its_tokens(tmp_path: Path) -> None:
    kept = stgraph.selector("st-simdiff", retain_ratio=0.3).select(clip())
    kept.save(tmp_path / "x")
    same_selection(kept, Selection.load(tmp_path / "x"))
    assert "features" not in load_file(tmp_path / "x")


def kept_file(path: Path, **changes: Any) -> None:
    kept = stgraph.selector("uniform", n_keep=3).select(VideoTokens.from_array(features((1, 2, 3, 4))))
    kept.save(path)
    tensors, metadata = container.read(path, "selection")
    arrays: dict[str, Any] = {name: np.array(tensors[name]) for name in tensors}
    for name, value in changes.items():
        (metadata if name in metadata else arrays)[name] = value
    container.write(path, "selection", {k: v for k, v in arrays.items() if v is not None}, metadata)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": None}, "it lacks 'indices'"),
        ({"indices": np.array([0, 2, 6])}, "indices are not ascending rows of 0..5"),
        ({"indices": np.array([0, 2, 2])}, "indices are not ascending"),
        ({"indices": np.array([-1, 2, 3])}, "indices are not ascending"),
        ({"indices": np.array([0, 1, 2], np.int32)}, "indices are int32"),
        ({"reason": np.array([1], np.uint8)}, r"reason are uint8 of shape \(1,\); expected uint8 of shape \(3,\)"),
        ({"reason": np.array([1, 1, 200], np.uint8)}, "reason 200 is unknown"),
        ({"kind": "both"}, "kind is 'both'"),
        ({"kind": "merge"}, "it lacks 'features'"),
        ({"kind": "merge", "features": np.ones((2, 4), np.float32)}, "expected one row for each of 3 kept tokens"),
        ({"grid": [1, 2]}, "not enough values"),
        ({"grid": [1, 2, 0]}, "grid axis W is 0"),
        ({"n_tokens": 8}, "8 tokens on a grid of 6: the positions of newlines are missing"),
        ({"account": {}}, "it lacks 'n_visual'"),
    ],
)
def test_damaged_selections_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    kept_file(tmp_path / "x", **changes)
    with pytest.raises(DumpFormatError, match=message):
        Selection.load(tmp_path / "x")


def test_an_assignment_that_points_beyond_its_rows_is_refused(tmp_path: Path) -> None:
    given = {
        "kind": "merge",
        "features": np.ones((3, 4), np.float32),
        "assignment_indptr": np.array([0, 1, 2, 3]),
        "assignment_indices": np.array([0, 1, 99]),
        "assignment_weights": np.ones(3, np.float32),
    }
    kept_file(tmp_path / "x", **given)
    with pytest.raises(DumpFormatError, match="cannot read"):
        Selection.load(tmp_path / "x")


def test_each_reader_names_the_other(tmp_path: Path) -> None:
    tokens = clip()
    parts = stgraph.detect_communities(stgraph.build_graph(tokens))
    tokens.save(tmp_path / "tokens")
    parts.save(tmp_path / "parts")
    stgraph.selector("uniform", n_keep=3).select(tokens).save(tmp_path / "kept")
    stgraph.save_query(tmp_path / "query", {"mine": np.ones(3)})
    readers: dict[str, Any] = {"tokens": stgraph.load, "parts": Partition.load, "kept": Selection.load}
    says = {"tokens": "stgraph.load(path)", "parts": "stgraph.Partition.load", "kept": "stgraph.Selection.load"}
    says["query"] = "stgraph.load(dump, query=path)"
    for made, hint in says.items():
        for reader, read in readers.items():
            if made == reader:
                read(tmp_path / made)
                continue
            with pytest.raises(DumpFormatError) as caught:
                read(tmp_path / made)
            assert f"Read it with {hint}" in str(caught.value)


def test_a_selection_file_can_be_inspected(tmp_path: Path) -> None:
    from command_line import run, strict_json

    path = str(tmp_path / "kept.safetensors")
    run("select", "-s", "evs", "-r", "0.2", "-o", path, "-q")
    facts = strict_json(run("inspect", path, "--format", "json"))
    assert (facts["n_kept"], facts["grid"]) == (2048, [40, 16, 16])
    assert sum(facts["kept_per_frame"]) == 2048
    shown = run("inspect", path)
    assert "kept per frame" in shown
    assert "kept as: " in shown
    assert run("inspect", path, "-q") == ""
