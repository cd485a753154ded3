"""Splitters: how communities above the size cap are divided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from foreign import registered
from scipy.sparse.csgraph import connected_components
from zoo import ZOO, clique, graph, lattice, path, sample

import stgraph
from stgraph import EdgeList, detect_communities
from stgraph.errors import BackendUnavailableError
from stgraph.graph_views import to_scipy


@pytest.mark.parametrize("shape", [(20, 32, 32), pytest.param((100, 100, 100), marks=pytest.mark.slow)])
def test_one_giant_component_is_cut_into_connected_pieces(shape: tuple[int, int, int]) -> None:
    edges = lattice(shape)
    n = edges.n_nodes
    cap = int(n**0.5)
    found = detect_communities(edges, "lattice-components", max_size="sqrt")
    np.testing.assert_array_equal(found.labels, detect_communities(edges, "scipy-components", max_size="sqrt").labels)
    assert found.uncapped_sizes.tolist() == [n]
    assert found.sizes.max() <= cap
    inside = found.labels[edges.src] == found.labels[edges.dst]
    within = EdgeList(n, edges.src[inside], edges.dst[inside], edges.weight[inside])
    assert connected_components(to_scipy(within), directed=False)[0] == found.n_communities
    assert found.n_communities <= 1.3 * -(-n // cap)


@pytest.mark.parametrize("tau_sim", [0.6, 0.7, 0.8, 0.9])
def test_few_pieces_on_a_real_clip(tau_sim: float) -> None:
    edges = sample(tau_sim=tau_sim)
    cap = int(edges.n_nodes**0.5)
    found = detect_communities(edges, "lattice-components", max_size="sqrt")
    large = np.flatnonzero(found.uncapped_sizes > cap)
    pieces = np.unique(found.labels[np.isin(found.uncapped_labels, large)]).size
    ideal = int((-(-found.uncapped_sizes[large] // cap)).sum())
    assert 0 < ideal <= pieces <= 1.3 * ideal


@pytest.mark.parametrize("cap", [1, 2, 5, 7])
@pytest.mark.parametrize("shape", ZOO)
def test_raster_gives_the_fewest_pieces(shape: str, cap: int) -> None:
    found = detect_communities(ZOO[shape](), "lattice-components", max_size=cap, split="raster")
    assert found.n_communities == (-(-found.uncapped_sizes // cap)).sum()


def test_raster_cuts_in_token_order() -> None:
    found = detect_communities(graph(7, path(7)), "lattice-components", max_size=3, split="raster")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2]


def test_redetect_takes_the_weak_half_of_edges_away() -> None:
    edges = graph(6, path(6), [0.9, 0.9, 0.1, 0.9, 0.9])
    found = detect_communities(edges, "lattice-components", max_size=3, split="redetect")
    assert (edges.weight[found.labels[edges.src] == found.labels[edges.dst]] > 0.1).all()


def test_redetect_raises_the_resolution_until_a_community_divides() -> None:
    whole = graph(24, clique(0, 24))
    assert detect_communities(whole, "igraph-leiden", max_size=None).n_communities == 1
    found = detect_communities(whole, "igraph-leiden", max_size=3, split="redetect")
    assert found.sizes.max() <= 3
    assert found.provenance.remarks == ()


def test_redetect_gives_connected_pieces_whatever_the_backend_does() -> None:
    calls = []

    def alternate(edges: EdgeList) -> Any:
        calls.append(edges.n_nodes)
        return np.arange(edges.n_nodes) % 2 if len(calls) > 1 else np.zeros(edges.n_nodes, int)

    with registered(alternate) as name:
        partition = detect_communities(graph(6, path(6)), name, max_size=3, split="redetect")
    assert partition.is_connected
    assert partition.n_communities == 6


def test_redetect_leaves_what_never_divides_to_the_tree() -> None:
    with registered(lambda edges: np.zeros(edges.n_nodes, int)) as name:
        found = detect_communities(graph(20, path(20)), name, max_size=4, split="redetect")
    assert found.sizes.max() <= 4
    assert found.is_connected
    assert found.provenance.remarks == ("redetect could not divide 1 communities; they were split by 'tree'",)


def test_native_cap_reaches_into_the_search() -> None:
    edges = lattice((1, 30, 30))
    native = detect_communities(edges, "leidenalg-leiden", max_size=20, split="native")
    free = detect_communities(edges, "leidenalg-leiden", max_size=20, split="tree")
    assert free.uncapped_sizes.max() > 20
    assert native.sizes.max() <= 20
    assert native.quality().modularity > free.quality().modularity


def test_a_cap_that_nothing_exceeds_changes_nothing() -> None:
    edges = lattice((3, 5, 5))
    free = detect_communities(edges, "igraph-leiden", max_size=None)
    capped = detect_communities(edges, "igraph-leiden", max_size=int(free.sizes.max()))
    np.testing.assert_array_equal(capped.labels, free.labels)


def test_metis_cuts_less_weight_than_the_tree() -> None:
    pytest.importorskip("pymetis", reason="needs pymetis: pip install -e '.[fast]'")
    edges = sample(10)
    kept = {}
    for split in ("tree", "metis"):
        found = stgraph.detect_communities(edges, "lattice-components", max_size="sqrt", split=split)
        assert found.is_connected and found.sizes.max() <= 50
        inside = found.labels[edges.src] == found.labels[edges.dst]
        kept[split] = (edges.weight[inside].sum(), found.n_communities)
    assert kept["metis"][0] > kept["tree"][0]
    assert kept["metis"][1] <= kept["tree"][1]


def test_metis_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgraph.community.base.find_spec", lambda name: None)
    assert "pymetis" in (stgraph.splitters()["metis"] or "")
    with pytest.raises(BackendUnavailableError, match=r"splitter metis cannot run here: .*pymetis"):
        stgraph.detect_communities(sample(1), "lattice-components", split="metis")
