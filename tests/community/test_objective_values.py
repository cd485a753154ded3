"""Values of the objectives: our figures against the libraries' own, and each backend against igraph's best.

Modularity is also compared with that of networkx (test_partition.py), components with SciPy's (test_backends.py),
segments with the criterion restated, in test_kernels_segments.py.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zoo import ZOO, sample

from stgraph import EdgeList, detect_communities
from stgraph.community.base import available_backends, backend
from stgraph.community.quality import cpm, map_equation, modularity
from stgraph.graph_views import to_igraph, to_scipy

SHAPES = ("video", "video with holes", "denser", "sample")
each_graph = pytest.mark.parametrize("shape", SHAPES)


def those_of(objective: str) -> list[str]:
    return [name for name in available_backends() if backend(name).capabilities.objective == objective]


@cache
def edges_of(shape: str) -> EdgeList:
    return ZOO[shape]()


@cache
def infomap(shape: str) -> Any:
    return to_igraph(edges_of(shape)).community_infomap(edge_weights="weight", trials=10)


def found(name: str, shape: str) -> np.ndarray[Any, Any]:
    return detect_communities(edges_of(shape), name, max_size=None).labels


@pytest.mark.parametrize("shape", ZOO)
def test_modularity_is_that_of_igraph(shape: str) -> None:
    if edges_of(shape).n_edges == 0:
        assert modularity(edges_of(shape), np.zeros(edges_of(shape).n_nodes, int)) == 0.0
        return
    labels = found("igraph-leiden", shape)
    expected = to_igraph(edges_of(shape)).modularity(labels.tolist(), weights="weight")
    assert modularity(edges_of(shape), labels) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("resolution", [0.05, 0.5])
@pytest.mark.parametrize("shape", ZOO)
def test_cpm_is_the_quality_of_leidenalg(shape: str, resolution: float) -> None:
    leidenalg = pytest.importorskip("leidenalg")
    edges = edges_of(shape)
    labels = found("igraph-leiden-cpm", shape)
    given = {"initial_membership": labels.tolist(), "weights": "weight", "resolution_parameter": resolution}
    theirs = leidenalg.CPMVertexPartition(to_igraph(edges), **given).quality() if edges.n_edges else 0.0
    assert 2 * cpm(edges, labels, resolution) == pytest.approx(theirs, abs=1e-6)  # leidenalg counts an edge both ways


@each_graph
@pytest.mark.parametrize("name", those_of("modularity"))
def test_modularity_backends_reach_the_value_of_igraph(name: str, shape: str) -> None:
    best = modularity(edges_of(shape), found("igraph-leiden", shape))
    assert modularity(edges_of(shape), found(name, shape)) >= 0.965 * best


@each_graph
@pytest.mark.parametrize("name", those_of("cpm"))
def test_cpm_backends_reach_the_value_of_igraph(name: str, shape: str) -> None:
    best = cpm(edges_of(shape), found("igraph-leiden-cpm", shape), 0.05)
    value = cpm(edges_of(shape), found(name, shape), 0.05)
    assert value >= (0.95 if name.startswith("graspologic") else 0.985) * best


@each_graph
@pytest.mark.parametrize("name", those_of("label-propagation"))
def test_label_propagation_ends_where_no_node_has_a_heavier_label_beside_it(name: str, shape: str) -> None:
    labels = found(name, shape)
    near = to_scipy(edges_of(shape)).astype(float)
    beside = near.maximum(near.T) @ np.eye(labels.max() + 1)[labels]  # [N, k]: weight to each label
    assert (beside[np.arange(labels.size), labels] >= beside.max(1) - 1e-5).all()


@pytest.mark.parametrize("shape", ZOO)
def test_the_map_equation_is_the_code_length_of_igraph(shape: str) -> None:
    if edges_of(shape).n_edges == 0:
        assert map_equation(edges_of(shape), np.zeros(edges_of(shape).n_nodes, int)) == 0.0
        return
    best = infomap(shape)
    assert map_equation(edges_of(shape), np.array(best.membership)) == pytest.approx(best.codelength, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("leidenalg-leiden-surprise", "SurpriseVertexPartition"),
        ("leidenalg-leiden-significance", "SignificanceVertexPartition"),
    ],
)
def test_two_passes_nearly_reach_what_leidenalg_converges_to(name: str, kind: str) -> None:
    leidenalg = pytest.importorskip("leidenalg")
    edges = sample(10)
    given = {"weights": "weight"} if backend(name).capabilities.weighted else {}
    two, whole = (
        getattr(leidenalg, kind)(
            to_igraph(edges),
            detect_communities(edges, name, max_size=None, n_iterations=passes).labels.tolist(),
            **given,
        ).quality()
        for passes in (2, -1)
    )
    assert two >= 0.975 * whole


@each_graph
@pytest.mark.parametrize("name", those_of("map-equation"))
def test_map_equation_backends_reach_the_value_of_igraph(name: str, shape: str) -> None:
    assert map_equation(edges_of(shape), found(name, shape)) <= 1.03 * infomap(shape).codelength


@pytest.mark.skipif("networkit-map-equation" not in available_backends(), reason="needs networkit")
def test_map_equation_of_the_sample_is_as_docs_backends_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "backends.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"description length is ([\d.]+) to ([\d.]+) % above", " ".join(page.split()))
    edges, above = sample(), []
    for seed in range(3):
        theirs, best = (
            map_equation(edges, detect_communities(edges, name, max_size=None, seed=seed).labels)
            for name in ("networkit-map-equation", "igraph-infomap")
        )
        above.append(100 * (theirs / best - 1))
    assert (min(above), max(above)) == pytest.approx(tuple(map(float, told)), abs=0.3)  # libraries' versions differ
