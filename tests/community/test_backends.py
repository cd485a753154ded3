"""One contract for every registered backend, under every splitter, over a zoo of graphs."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
import pytest
from rapids_dask import cluster
from zoo import ZOO, bridged_cliques, graph, lattice

from stgraph import EdgeList, Partition, detect_communities
from stgraph.community.base import BACKENDS, CommunityBackend, backend
from stgraph.community.objectives import OBJECTIVES, default_resolution
from stgraph.community.size_cap import SPLITTERS

CAPS: tuple[int | str | None, ...] = ("sqrt", 1, 3, None)


def params(name: str, *rest: str) -> list[Any]:
    """One backend; where it cannot run here, its own reason skips it. A GPU's runs against a stand-in as well."""
    reason = backend(name).unavailable()
    marks = [pytest.mark.skip(reason=reason)] if reason else []
    if backend(name).capabilities.device != "cuda":
        return [pytest.param(name, *rest, marks=marks)]
    stand_in = pytest.param(name, *rest, id="-".join((name, *rest, "stand-in")))
    if name.startswith("cugraph-dask-"):
        return [stand_in]  # on a real cluster: test_gpu_cluster.py, which starts one
    return [pytest.param(name, *rest, marks=[*marks, pytest.mark.gpu]), stand_in]


@pytest.fixture(autouse=True)
def rapids(request: pytest.FixtureRequest) -> Iterator[None]:
    """RAPIDS and a cluster, as far as the backends see them, for the tests of their backends that do without a GPU."""
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    without = name is None or backend(name).capabilities.device != "cuda" or request.node.get_closest_marker("gpu")
    with nullcontext() if without else cluster():
        yield


# Clusterings of features see no graph: test_backends_of_features.py.
OF_EDGES = [name for name in BACKENDS.names() if backend(name).capabilities.reads == "edges"]
each_engine = pytest.mark.parametrize("name", [p for name in OF_EDGES for p in params(name)])
each_deterministic_engine = pytest.mark.parametrize(
    "name", [p for name in OF_EDGES if backend(name).capabilities.deterministic for p in params(name)]
)
each_engine_and_splitter = pytest.mark.parametrize(
    ("name", "split"),
    [
        p
        for name in OF_EDGES
        for split in SPLITTERS.names()
        if split != "native" or backend(name).capabilities.native_cap
        for p in params(name, split)
    ],
)
each_graph = pytest.mark.parametrize("shape", ZOO)


@cache
def edges_of(shape: str) -> EdgeList:
    return ZOO[shape]()


def canonical(labels: np.ndarray[Any, Any]) -> list[int]:
    """Labels renumbered by first occurrence."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels.tolist()]


def pieces_connected(edges: EdgeList, labels: list[int]) -> dict[int, bool]:
    """Label -> whether the nodes of that label hang together, by a plain search."""
    near: dict[int, list[int]] = {i: [] for i in range(edges.n_nodes)}
    for a, b in zip(edges.src.tolist(), edges.dst.tolist(), strict=True):
        if labels[a] == labels[b]:
            near[a].append(b)
            near[b].append(a)
    parts = dict.fromkeys(labels, 0)
    seen: set[int] = set()
    for root in range(edges.n_nodes):
        parts[labels[root]] += root not in seen
        stack = [root]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack += near[node]
    return {label: count == 1 for label, count in parts.items()}


def check_contract(edges: EdgeList, found: Partition, free: Partition, cap: int | None) -> None:
    for labels in (found.labels, found.uncapped_labels):
        assert labels.dtype == np.int32
        assert labels.shape == (edges.n_nodes,)
        assert labels.tolist() == canonical(labels)
    assert found.sizes.sum() == edges.n_nodes
    assert found.sizes.tolist() == [found.labels.tolist().count(c) for c in range(found.n_communities)]
    assert cap is None or found.sizes.max(initial=0) <= cap
    if backend(found.provenance.backend).capabilities.deterministic:
        np.testing.assert_array_equal(found.uncapped_labels, free.labels)
    assert found.capped_in_search == (found.provenance.split == "native" and cap is not None)
    if not found.capped_in_search:
        refined = set(zip(found.labels.tolist(), found.uncapped_labels.tolist(), strict=True))
        assert len(refined) == found.n_communities, "a piece spans two of the backend's communities"
    alone = np.flatnonzero(edges.degrees() == 0)
    assert (found.uncapped_sizes[found.uncapped_labels[alone]] == 1).all()


@each_graph
@each_engine_and_splitter
def test_contract(name: str, split: str, shape: str) -> None:
    edges = edges_of(shape)
    free = detect_communities(edges, name, max_size=None)
    for max_size in CAPS:
        found = detect_communities(edges, name, max_size=max_size, split=split)
        cap = int(edges.n_nodes**0.5) if max_size == "sqrt" else max_size
        check_contract(edges, found, free, None if cap is None else max(1, int(cap)))
        if SPLITTERS.get(split).connected and not found.capped_in_search:
            whole = pieces_connected(found.edges, found.uncapped_labels.tolist())
            piece = pieces_connected(found.edges, found.labels.tolist())
            for label, origin in zip(found.labels.tolist(), found.uncapped_labels.tolist(), strict=True):
                assert piece[label] or not whole[origin]


@each_graph
@each_engine
def test_communities_stay_inside_components(name: str, shape: str) -> None:
    edges = edges_of(shape)
    outer = detect_communities(edges, "scipy-components", max_size=None).labels
    found = detect_communities(edges, name, max_size=None)
    assert len(set(zip(found.labels.tolist(), outer.tolist(), strict=True))) == found.n_communities
    if backend(name).capabilities.objective == "none":
        np.testing.assert_array_equal(found.labels, outer)


@each_graph
@each_deterministic_engine
def test_the_same_seed_gives_the_same_labels(name: str, shape: str) -> None:
    edges = edges_of(shape)
    first = detect_communities(edges, name, max_size="sqrt", seed=5)
    detect_communities(edges, name, max_size="sqrt", seed=6)
    np.testing.assert_array_equal(detect_communities(edges, name, max_size="sqrt", seed=5).labels, first.labels)


@each_deterministic_engine
def test_the_seed_counts_where_the_backend_says_so(name: str) -> None:
    edges = lattice((1, 14, 14))
    even = EdgeList(
        edges.n_nodes, edges.src, edges.dst, np.ones_like(edges.weight)
    )  # many partitions as good as another
    found = {tuple(detect_communities(even, name, max_size=None, seed=seed).labels.tolist()) for seed in range(5)}
    assert (len(found) > 1) == backend(name).capabilities.seeded


@each_deterministic_engine
def test_concurrent_calls_do_not_share_a_seed(name: str) -> None:
    edges = lattice((3, 6, 6))

    def labels(seed: int) -> list[int]:
        return detect_communities(edges, name, seed=seed, max_size=None).labels.tolist()

    alone = [labels(seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(labels, range(6))) == alone


@each_engine
def test_random_state_is_private(name: str) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 (the legacy global state is what must stay untouched)
    before, before_numpy = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    detect_communities(edges_of("video"), name, max_size="sqrt", seed=3)
    after_numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    assert random.getstate() == before
    np.testing.assert_equal(after_numpy, before_numpy)


@each_deterministic_engine
def test_the_callers_random_state_changes_nothing(name: str) -> None:
    found = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        found.append(detect_communities(edges_of("denser"), name, max_size="sqrt").labels.tolist())
    assert found[0] == found[1]


@each_deterministic_engine
def test_order_and_direction_of_edges_change_nothing(name: str) -> None:
    edges = lattice((3, 5, 6), share=0.6)
    order = np.random.default_rng(0).permutation(edges.n_edges)
    shuffled = EdgeList.from_arrays(edges.n_nodes, edges.dst[order], edges.src[order], edges.weight[order])
    expected = detect_communities(edges, name, max_size="sqrt").labels
    np.testing.assert_array_equal(detect_communities(shuffled, name, max_size="sqrt").labels, expected)


@each_engine
def test_weights_count_where_the_backend_says_so(name: str) -> None:
    ring = [(0, 1), (1, 2), (2, 3), (0, 3)]
    weights = ([0.9, 0.01, 0.9, 0.01], [0.01, 0.9, 0.01, 0.9])
    one, other = (detect_communities(graph(4, ring, w), name, max_size=None).labels.tolist() for w in weights)
    if backend(name).capabilities.weighted:
        assert (one, other) == ([0, 0, 1, 1], [0, 1, 1, 0])
    else:
        assert one == other


@each_engine
def test_a_higher_resolution_gives_more_communities(name: str) -> None:
    edges = lattice((4, 8, 8))
    coarse, fine = (detect_communities(edges, name, max_size=None, resolution=r) for r in (0.1, 8.0))
    if "resolution" in backend(name).capabilities.ignores:
        np.testing.assert_array_equal(coarse.labels, fine.labels)
    else:
        assert fine.n_communities > 2 * coarse.n_communities


@each_engine
def test_every_objective_but_none_finds_the_two_cliques(name: str) -> None:
    found = detect_communities(bridged_cliques(), name, max_size=None)
    connected = backend(name).capabilities.objective == "none"
    assert found.labels.tolist() == ([0] * 16 if connected else [0] * 8 + [1] * 8)


@each_engine
def test_provenance_says_how_to_repeat_it(name: str) -> None:
    engine = backend(name)
    found = detect_communities(edges_of("video"), name, max_size=7, split="raster", resolution=1.5, seed=4)
    stored = json.loads(json.dumps(found.provenance.to_dict()))
    given = {"resolution": 1.5, "seed": 4}
    own = {name: one.default for name, one in getattr(engine, "parameters", {}).items()}
    assert stored["backend"] == engine.name == name
    assert stored["library"] == engine.package
    assert stored["library_version"][0].isdigit()
    device = "cpu" if engine.capabilities.device == "any" else engine.capabilities.device
    assert (stored["device"], stored["objective"]) == (device, engine.capabilities.objective)
    assert stored["ignored"] == list(engine.capabilities.ignores)
    assert stored["parameters"] == {k: v for k, v in given.items() if k not in engine.capabilities.ignores} | own
    assert (stored["max_size"], stored["split"], stored["skipped"]) == (7, "raster", [])


@each_engine
def test_backend_honours_the_protocol(name: str) -> None:
    engine = backend(name)
    assert isinstance(engine, CommunityBackend)
    assert engine.capabilities.seeded == ("seed" not in engine.capabilities.ignores)


@each_engine
def test_objectives_and_their_resolution(name: str) -> None:
    capabilities = backend(name).capabilities
    assert capabilities.objective in OBJECTIVES
    used = detect_communities(bridged_cliques(), name).provenance.parameters
    if "resolution" in capabilities.ignores:
        assert "resolution" not in used
    else:
        assert used["resolution"] == default_resolution(capabilities.objective)


@each_engine
def test_parameters_of_its_own_are_checked_and_recorded(name: str) -> None:
    edges, known = edges_of("video"), getattr(backend(name), "parameters", {})
    for parameter, stated in known.items():
        value = stated.default * 2 if stated.least < stated.default * 2 <= stated.most else stated.default
        found = detect_communities(edges, name, **{parameter: value})
        assert found.provenance.parameters[parameter] == value
        for bad in ("x", True, None, float("nan"), stated.least - 1):
            with pytest.raises(ValueError, match=f"^{parameter} is .*; it must be an? "):
                detect_communities(edges, name, **{parameter: bad})
    with pytest.raises(ValueError, match=f"backend {name} has no parameter 'bogus'; it has: "):
        detect_communities(edges, name, bogus=1)


@each_engine
def test_negative_weights(name: str) -> None:
    edges = graph(3, [(0, 1), (1, 2)], [0.5, -0.25])
    capabilities = backend(name).capabilities
    if not capabilities.thresholded:
        assert detect_communities(edges, name).labels.tolist() == [0, 1, 2]
    elif capabilities.weighted:
        with pytest.raises(ValueError, match=r"needs positive edge weights.*-0\.25.*components backend"):
            detect_communities(edges, name)
    else:
        positive = graph(3, [(0, 1), (1, 2)])
        expected = detect_communities(positive, name, max_size=None).labels.tolist()
        assert detect_communities(edges, name, max_size=None).labels.tolist() == expected
