"""Partitions: their parts, their figures against plain restatements, and how alike two of them are."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import igraph
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import ZOO, bridged_cliques, graph, path

from stgraph import EdgeList, Partition, agreement, detect_communities
from stgraph.community import quality
from stgraph.community.partition import Provenance
from stgraph.errors import InputError

Array = np.ndarray[Any, Any]
NOBODY = Provenance("none", "none", "0", "cpu", "none", {}, (), None, "tree")
each_graph = pytest.mark.parametrize("shape", ZOO)
labelled = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 6), min_size=n, max_size=n).map(np.array)] * 2)
)


def arbitrary(edges: EdgeList, n_groups: int = 5) -> Partition:
    """Tokens put into communities at random, so that nothing depends on a good partition."""
    drawn = np.random.default_rng(7).integers(0, n_groups, edges.n_nodes)
    numbers: dict[int, int] = {}
    labels = np.array([numbers.setdefault(int(c), len(numbers)) for c in drawn], np.int32)
    return Partition(edges, labels, labels, NOBODY)


def communities(found: Partition) -> list[set[int]]:
    return [set(np.flatnonzero(found.labels == c).tolist()) for c in range(found.n_communities)]


def links(edges: EdgeList) -> list[tuple[int, int, float]]:
    return list(zip(edges.src.tolist(), edges.dst.tolist(), edges.weight.astype(float).tolist(), strict=True))


@each_graph
def test_members_list_every_token_once(shape: str) -> None:
    found = arbitrary(ZOO[shape]())
    for c, expected in enumerate(communities(found)):
        members = found.members(c)
        assert members.dtype == np.int64
        assert members.tolist() == sorted(expected)
        assert found.sizes[c] == len(expected)


@pytest.mark.parametrize("community", [-1, 3, 1.5, "a"])
def test_members_of_no_community(community: Any) -> None:
    found = detect_communities(graph(3, []), "lattice-components")
    with pytest.raises(InputError, match=f"community {community!r} does not exist; they are numbered from 0 to 2"):
        found.members(community)


@each_graph
def test_quotient_sums_the_weights_between_communities(shape: str) -> None:
    edges = ZOO[shape]()
    found = arbitrary(edges)
    expected: dict[tuple[int, int], float] = {}
    for a, b, weight in links(edges):
        ends = sorted((int(found.labels[a]), int(found.labels[b])))
        if ends[0] != ends[1]:
            expected[ends[0], ends[1]] = expected.get((ends[0], ends[1]), 0.0) + weight
    quotient = found.quotient()
    assert quotient.n_nodes == found.n_communities
    assert (quotient.src.dtype, quotient.dst.dtype, quotient.weight.dtype) == (np.int32, np.int32, np.float32)
    assert [(a, b) for a, b, _ in links(quotient)] == sorted(expected)
    np.testing.assert_allclose(quotient.weight, [expected[pair] for pair in sorted(expected)], rtol=1e-6)


@each_graph
def test_is_connected(shape: str) -> None:
    edges = ZOO[shape]()
    for found in (arbitrary(edges), detect_communities(edges, "scipy-components")):
        whole = nx.Graph(zip(edges.src.tolist(), edges.dst.tolist(), strict=True))
        whole.add_nodes_from(range(edges.n_nodes))
        assert found.is_connected == all(nx.is_connected(whole.subgraph(part)) for part in communities(found))


@each_graph
def test_modularity_and_coverage_are_networkx(shape: str) -> None:
    edges = ZOO[shape]()
    found = arbitrary(edges)
    if not edges.n_edges:
        assert quality.modularity(edges, found.labels) == 0.0
        assert quality.coverage(edges, found.labels) == 1.0
        return
    theirs = nx.Graph()
    theirs.add_nodes_from(range(edges.n_nodes))
    theirs.add_weighted_edges_from(links(edges))
    for resolution in (0.5, 1.0, 3.0):
        expected = nx.community.modularity(theirs, communities(found), resolution=resolution)
        assert quality.modularity(edges, found.labels, resolution) == pytest.approx(expected, abs=1e-9)
    # networkx counts edges; ours weighs them, which is the same where all weigh as much.
    even = EdgeList(edges.n_nodes, edges.src, edges.dst, np.full(edges.n_edges, 0.3, np.float32))
    share, _ = nx.community.partition_quality(theirs, communities(found))
    assert quality.coverage(even, found.labels) == pytest.approx(share)


@each_graph
def test_figures_are_the_sums_they_stand_for(shape: str) -> None:
    edges = ZOO[shape]()
    found = arbitrary(edges)
    parts, labels = communities(found), found.labels
    inside, volume, count = ([0.0] * len(parts) for _ in range(3))
    for a, b, weight in links(edges):
        volume[labels[a]] += weight
        volume[labels[b]] += weight
        if labels[a] == labels[b]:
            inside[labels[a]] += weight
            count[labels[a]] += 1
    cpm = sum(w - 0.5 * len(list(combinations(part, 2))) for w, part in zip(inside, parts, strict=True))
    assert quality.cpm(edges, labels) == pytest.approx(cpm)
    if edges.n_edges:
        assert quality.coverage(edges, labels) == pytest.approx(sum(inside) / sum(w for *_, w in links(edges)))
    leaving = []
    for c in range(len(parts)):
        smaller = min(volume[c], sum(volume) - volume[c])
        leaving.append((volume[c] - 2 * inside[c]) / smaller if smaller > 1e-12 else np.nan)
    ours = quality.conductance(edges, labels)
    meant = ~np.isnan(leaving)
    np.testing.assert_allclose(ours[meant], np.array(leaving)[meant], atol=1e-9)
    figures = found.quality()
    assert figures.cpm * max(edges.n_nodes, 1) == pytest.approx(cpm)
    assert figures.mean_conductance == pytest.approx(np.mean(ours[~np.isnan(ours)]) if meant.any() else 0.0)
    density = [count[c] / len(list(combinations(part, 2))) for c, part in enumerate(parts) if len(part) > 1]
    assert figures.internal_density == pytest.approx(np.mean(density) if density else 0.0)
    similarity = [w for a, b, w in links(edges) if labels[a] == labels[b]]
    assert figures.internal_similarity == pytest.approx(np.mean(similarity) if similarity else 0.0)


def test_conductance_of_the_bridged_cliques() -> None:
    edges = bridged_cliques()
    leaving = quality.conductance(edges, np.repeat([0, 1], 8))
    inside = edges.weight[:28].sum(dtype=float)
    np.testing.assert_allclose(leaving, [0.1 / (2 * inside + 0.1)] * 2, rtol=1e-6)
    assert np.isnan(quality.conductance(edges, np.zeros(16, np.int32))).all()


@each_graph
def test_summary_counts(shape: str) -> None:
    edges = ZOO[shape]()
    found = detect_communities(edges, "lattice-components", max_size=3)
    summary = json.loads(json.dumps(found.summary()))
    before = [found.uncapped_labels.tolist().count(c) for c in set(found.uncapped_labels.tolist())]
    oversized = [size for size in before if size > int(edges.n_nodes**0.5)]
    assert summary["n_communities"] == found.n_communities
    assert summary["largest"] == max(map(len, communities(found)), default=0)
    assert summary["n_singletons"] == sum(len(part) == 1 for part in communities(found))
    assert (summary["n_uncapped"], summary["largest_uncapped"]) == (len(before), max(before, default=0))
    assert summary["n_oversized"] == len(oversized)
    assert summary["oversized_ratio"] == pytest.approx(sum(oversized) / max(edges.n_nodes, 1))
    assert summary["modularity"] == quality.modularity(edges, found.labels)
    assert summary["uncapped_modularity"] == quality.modularity(edges, found.uncapped_labels)
    assert summary["connected"] is True


def test_repr_tells_what_the_cap_did() -> None:
    edges = graph(12, path(12))
    capped = detect_communities(edges, "lattice-components", max_size=4)
    assert repr(capped) == (
        f"Partition(12 nodes, {capped.n_communities} communities, largest {capped.sizes.max()}, "
        "by lattice-components, 1 above 4 split by tree)"
    )
    free = detect_communities(edges, "lattice-components", max_size=None)
    assert repr(free) == "Partition(12 nodes, 1 communities, largest 12, by lattice-components)"
    page = capped._repr_html_()
    assert "12 nodes" in page
    assert all(f"<th>{figure}</th>" in page for figure in capped.summary())


def test_repr_html_escapes_names() -> None:
    edges = graph(2, [(0, 1)])
    labels = np.zeros(2, np.int32)
    named = Partition(edges, labels, labels, Provenance("<b>", "x", "0", "cpu", "none", {}, (), None, "tree"))
    assert "<b>" not in named._repr_html_()


@settings(deadline=None, max_examples=150)
@given(labelled)
def test_agreement_is_igraph(labels: tuple[Array, Array]) -> None:
    ours = agreement(*labels)
    one, other = (x.tolist() for x in labels)
    assert ours.vi == pytest.approx(igraph.compare_communities(one, other, "vi"), abs=1e-9)
    assert ours.nmi == pytest.approx(igraph.compare_communities(one, other, "nmi"), abs=1e-9)
    if len(one) > 1 and not (len(set(one)) == len(set(other)) and len(set(one)) in (1, len(one))):  # 0 / 0 in igraph
        assert ours.ari == pytest.approx(igraph.compare_communities(one, other, "adjusted_rand"), abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(labelled)
def test_agreement_is_symmetric_and_blind_to_names(labels: tuple[Array, Array]) -> None:
    a, b = labels
    there, back = agreement(a, b), agreement(b, a)
    renamed = agreement(100 - 7 * a, b.astype(np.int8))
    for name in ("nmi", "ari", "vi"):
        assert getattr(there, name) == pytest.approx(getattr(back, name), abs=1e-12)
        assert getattr(there, name) == pytest.approx(getattr(renamed, name), abs=1e-12)
    same = agreement(a, 3 - a)
    assert (same.nmi, same.ari, same.vi) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize(("a", "b"), [([], []), ([0, 1], [0])])
def test_agreement_of_unequal_or_no_labels(a: list[int], b: list[int]) -> None:
    with pytest.raises(InputError, match=f"labels have {len(a)} and {len(b)} entries"):
        agreement(np.array(a), np.array(b))
