"""Peers for each stage, on the same tokens and graph."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.bench.speed.timing import Work
from stgraph.community.arguments import backend_params
from stgraph.community.base import available_backends, backend
from stgraph.community.partition import Partition
from stgraph.edges import EdgeList


def numpy_edges(x: Array) -> tuple[Array, Array, Array]:
    """The lattice similarities in plain NumPy: normalise, shift, multiply, sum."""
    unit = x.astype(np.float32, copy=False)
    return neighbour_products(unit / np.linalg.norm(unit, axis=-1, keepdims=True))


def neighbour_products(unit: Any) -> tuple[Any, Any, Any]:
    """Products of each token of [T, H, W, d] with the one to its right, below it, and one frame later."""
    return (
        (unit[:, :, :-1] * unit[:, :, 1:]).sum(-1),
        (unit[:, :-1] * unit[:, 1:]).sum(-1),
        (unit[:-1] * unit[1:]).sum(-1),
    )


def all_pairs_centrality(x: Array, partition: Partition) -> Array:
    """Equation 4 through the similarity matrix of each community."""
    flat = x.reshape(-1, x.shape[-1]).astype(np.float32, copy=False)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    out = np.ones(flat.shape[0], np.float32)
    members, starts = partition.grouped
    for a, b in pairwise(starts):
        if b - a > 1:
            rows = unit[members[a:b]]
            similarity = rows @ rows.T
            out[members[a:b]] = (similarity.sum(1) - similarity.diagonal()) / (b - a - 1)
    return out


def sorted_top(values: Array, partition: Partition, counts: Array) -> Array:
    """The top counts[c] tokens of each community by a full NumPy sort."""
    order = np.lexsort((np.arange(values.size), -values, partition.labels))
    _, starts = partition.grouped
    rank = np.arange(values.size) - np.repeat(starts[:-1], partition.sizes)
    keep = np.zeros(values.size, np.bool_)
    keep[order[rank < np.repeat(counts, partition.sizes)]] = True
    return keep


def detectors(edges: EdgeList, objective: str) -> dict[str, Work]:
    """Every backend of an objective that runs here, on the bare edge list."""
    found: dict[str, Work] = {}
    for name in available_backends():
        engine = backend(name)
        if engine.capabilities.objective == objective and engine.capabilities.reads == "edges":
            found[name] = partial(engine.labels, edges, backend_params(engine))
    if objective == "none":
        found |= _component_libraries(edges)
    return found


def _component_libraries(edges: EdgeList) -> dict[str, Work]:
    """Components in libraries without a backend of ours, graph building included."""
    import networkx

    from stgraph.graph_views import igraph_structure, to_networkx

    return {
        "igraph (components)": lambda: igraph_structure(edges).connected_components().membership,
        "networkx (components)": lambda: list(networkx.connected_components(to_networkx(edges))),
    }
