"""importance='coverage': every budget is shared out among the communities by what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clips import clip
from hypothesis import given, settings
from hypothesis import strategies as st

import stgraph
from stgraph.community.partition import Partition
from stgraph.errors import InputError
from stgraph.selection.st_simdiff.coverage import coverage

Array = np.ndarray[Any, Any]


def communities(labels: list[int]) -> Partition:
    """A partition with these labels, renumbered."""
    edges = stgraph.EdgeList.from_arrays(len(labels), [], [])
    made = stgraph.detect_communities(edges, "lattice-components")
    canonical = np.unique(labels, return_inverse=True)[1].astype(np.int32)
    order = np.argsort(np.unique(canonical, return_index=True)[1], kind="stable")
    number = np.empty(order.size, np.int32)
    number[order] = np.arange(order.size)
    return Partition(edges=edges, labels=number[canonical], before_cap=number[canonical], provenance=made.provenance)


def seats(sizes: list[int], n_seats: int) -> list[int]:
    """Sainte-Lague's method, seat by seat; of equal quotients the first party's."""
    won = [0] * len(sizes)
    for _ in range(n_seats):
        quotients = [size / (2 * n + 1) if n < size else -1.0 for size, n in zip(sizes, won, strict=True)]
        won[quotients.index(max(quotients))] += 1
    return won


@settings(deadline=None, max_examples=60)
@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=40), data=st.data())
def test_seats_are_those_of_sainte_lague(labels: list[int], data: st.DataObject) -> None:
    parts = communities(labels)
    centrality = np.random.default_rng(len(labels)).random(len(labels)).astype(np.float32)
    scores = coverage(centrality, parts)
    n_seats = data.draw(st.integers(1, len(labels)))
    quotients = sorted(scores.tolist(), reverse=True)
    if n_seats < len(quotients) and quotients[n_seats - 1] == quotients[n_seats]:
        return  # a tie: who wins depends on the order of the parties
    kept = np.argsort(-scores, kind="stable")[:n_seats]
    won = np.bincount(parts.labels[kept], minlength=parts.n_communities)
    assert won.tolist() == seats(parts.sizes.tolist(), n_seats)
    for community in range(parts.n_communities):
        members = parts.members(community)
        best = members[np.argsort(-centrality[members], kind="stable")][: won[community]]
        assert set(best.tolist()) == set(kept[parts.labels[kept] == community].tolist())


def test_the_smaller_index_of_equal_centralities_comes_first() -> None:
    scores = coverage(np.full(6, 0.5, np.float32), communities([0, 0, 0, 1, 1, 2]))
    np.testing.assert_allclose(scores, [3, 1, 3 / 5, 2, 2 / 3, 1])


def test_a_small_budget_covers_more_than_singletons() -> None:
    tokens = stgraph.sample()
    kept = {
        name: stgraph.selector("st-simdiff", retain_ratio=0.1, importance=name).select(tokens)
        for name in ("difference-then-centrality", "coverage")
    }
    parts = stgraph.detect_communities(stgraph.build_graph(tokens))
    alone = {name: int((parts.sizes[parts.labels[found.indices]] == 1).sum()) for name, found in kept.items()}
    assert len(kept["coverage"]) == len(kept["difference-then-centrality"]) == 1024
    assert alone["coverage"] < alone["difference-then-centrality"] / 2
    assert kept["coverage"].report["importance"] == "coverage"
    assert "by coverage, not by the LLM's attention" in kept["coverage"].exactness


def test_the_published_code_has_no_communities_to_cover() -> None:
    with pytest.raises(InputError, match="importance='coverage' needs communities"):
        stgraph.selector("st-simdiff-released", retain_ratio=0.3, importance="coverage").select(clip())


@pytest.mark.usefixtures("interpreter")
def test_the_gpu_engine_ranks_alike() -> None:
    import torch

    rng = np.random.default_rng(0)
    parts = communities(rng.integers(0, 7, 50).tolist())
    centrality = np.round(rng.random(50), 1).astype(np.float32)
    tensors = Partition(
        edges=parts.edges,
        labels=torch.from_numpy(np.array(parts.labels)),
        before_cap=torch.from_numpy(np.array(parts.labels)),
        provenance=parts.provenance,
    )
    found = coverage(torch.from_numpy(centrality), tensors)
    np.testing.assert_array_equal(found.numpy(), coverage(centrality, parts))
