"""One default backend and cap for tokens, wherever none is named; others for a graph of one's own; both are told."""

from __future__ import annotations

import json
from math import isqrt
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from clips import clip, saved
from command_line import run

import stgraph
from stgraph import EdgeList
from stgraph.community.default_backend import DEFAULT_BACKEND, DEFAULT_GRAPH_BACKEND
from stgraph.errors import InputError
from stgraph.lattice_edges import LatticeEdges


def test_functions_and_selectors_take_one_backend() -> None:
    tokens = clip()
    graph = stgraph.build_graph(tokens)
    named = [stgraph.detect_communities(given).provenance.backend for given in (graph, graph.edges)]
    for name in ("st-simdiff", "st-simdiff-attention", "srts"):
        named.append(stgraph.selector(name, retain_ratio=0.3).backend)  # type: ignore[attr-defined]
    kept = stgraph.selector("st-simdiff", retain_ratio=0.3).select(tokens)
    assert {*named, kept.provenance["community"]["backend"]} == {DEFAULT_BACKEND}


def test_a_function_and_a_selector_find_the_same_communities() -> None:
    tokens = clip()
    parts = stgraph.detect_communities(stgraph.build_graph(tokens))
    analysed = stgraph.selector("st-simdiff", retain_ratio=0.3).analyse(tokens).partition
    np.testing.assert_array_equal(parts.labels, analysed.labels)
    assert parts.provenance == analysed.provenance


def test_commands_take_it_too_and_say_so(tmp_path: Path) -> None:
    dump = saved(tmp_path / "clip.safetensors")
    found = json.loads(run("communities", dump, "--format", "json"))["provenance"]
    kept = json.loads(run("select", dump, "--format", "json"))["provenance"]["community"]
    assert found == kept
    assert found["backend"] == DEFAULT_BACKEND
    for command in ("communities", "select"):
        assert DEFAULT_BACKEND in run(command, dump)
    assert f"{DEFAULT_BACKEND} (default)" in run("doctor")
    for command in ("communities", "select", "sweep", "eval", "plot"):
        assert DEFAULT_BACKEND in run(command, "--help").replace("\n", "")


def test_reprs_say_which_backend() -> None:
    tokens = clip()
    assert f"by {DEFAULT_BACKEND}" in repr(stgraph.detect_communities(stgraph.build_graph(tokens)))
    assert repr(stgraph.selector("srts", retain_ratio=0.3).select(tokens)).endswith(f"; by srts, {DEFAULT_BACKEND})")
    assert repr(stgraph.selector("uniform", retain_ratio=0.3).select(tokens)).endswith("; by uniform)")


def planted() -> EdgeList:
    """15 blocks of 40 nodes."""
    graph = nx.planted_partition_graph(15, 40, 0.4, 0.01, seed=1)
    return EdgeList.from_networkx(graph)


def test_a_graph_of_ones_own_shows_its_communities_uncapped() -> None:
    parts = stgraph.detect_communities(planted())
    assert parts.sizes.tolist() == [40] * 15
    assert parts.provenance.backend == DEFAULT_GRAPH_BACKEND
    assert parts.provenance.max_size is None
    assert parts.provenance.remarks == (
        "no size cap: your own edge list has none by default; max_size='sqrt' sets one",
    )
    assert "split by" not in repr(parts)


def test_a_cap_that_is_asked_for_is_kept() -> None:
    parts = stgraph.detect_communities(planted(), max_size="sqrt")
    assert parts.provenance.max_size == isqrt(600) >= parts.sizes.max()
    assert parts.provenance.remarks == ()


def test_tokens_are_capped_by_default() -> None:
    graph = stgraph.build_graph(clip())
    for given in (graph, graph.edges, graph.all_edges()):
        parts = stgraph.detect_communities(given)
        assert parts.provenance.max_size == isqrt(graph.n_nodes) >= parts.sizes.max()
    assert stgraph.detect_communities(graph, max_size=None).provenance.max_size is None


def test_edges_of_tokens_stay_such_on_a_device() -> None:
    edges = stgraph.build_graph(clip()).edges
    assert isinstance(edges.to("cpu"), LatticeEdges)


@pytest.mark.parametrize("name", [DEFAULT_GRAPH_BACKEND, None])
def test_negative_weights_are_named_where_they_do_not_work(name: str | None) -> None:
    edges = EdgeList.from_arrays(3, [0, 1], [1, 2], [0.5, -0.5])
    with pytest.raises(InputError, match=r"needs positive edge weights, .* -0.5: leave such edges out, or use a comp"):
        stgraph.detect_communities(edges, name)
    with pytest.raises(InputError, match="raise tau_sim to 0 or above"):
        stgraph.detect_communities(stgraph.build_graph(clip(), -1.0), "igraph-leiden")
