"""Values of the objectives: our figures against the libraries' own, and each backend against igraph's best."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from zoo import ZOO

from stgraph import EdgeList, detect_communities
from stgraph.community.base import available_backends, backend
from stgraph.community.quality import cpm, map_equation
from stgraph.graph_views import to_igraph

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


@each_graph
@pytest.mark.parametrize("name", those_of("cpm"))
def test_cpm_backends_reach_the_value_of_igraph(name: str, shape: str) -> None:
    best = cpm(edges_of(shape), found("igraph-leiden-cpm", shape), 0.05)
    value = cpm(edges_of(shape), found(name, shape), 0.05)
    assert value >= (0.95 if name.startswith("graspologic") else 0.985) * best


@pytest.mark.parametrize("shape", ZOO)
def test_the_map_equation_is_the_code_length_of_igraph(shape: str) -> None:
    if edges_of(shape).n_edges == 0:
        assert map_equation(edges_of(shape), np.zeros(edges_of(shape).n_nodes, int)) == 0.0
        return
    best = infomap(shape)
    assert map_equation(edges_of(shape), np.array(best.membership)) == pytest.approx(best.codelength, abs=1e-9)


@each_graph
@pytest.mark.parametrize("name", those_of("map-equation"))
def test_map_equation_backends_reach_the_value_of_igraph(name: str, shape: str) -> None:
    assert map_equation(edges_of(shape), found(name, shape)) <= 1.03 * infomap(shape).codelength
