"""Small graphs with known shapes, on which every community backend has to keep its promises."""

from __future__ import annotations

from functools import cache, partial
from itertools import combinations

import numpy as np

import stgraph
from stgraph import EdgeList, TokenGrid

Pairs = list[tuple[int, int]]


def graph(n_nodes: int, pairs: Pairs, weight: float | list[float] = 1.0) -> EdgeList:
    """An edge list of (node, node) pairs."""
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    return EdgeList.from_arrays(n_nodes, ends[:, 0], ends[:, 1], np.broadcast_to(np.float32(weight), len(pairs)))


def path(n: int) -> Pairs:
    return [(i, i + 1) for i in range(n - 1)]


def clique(first: int, n: int) -> Pairs:
    return list(combinations(range(first, first + n), 2))


def bridged_cliques() -> EdgeList:
    """Two cliques of eight, held together by one weak edge."""
    inside = clique(0, 8) + clique(8, 8)
    return graph(16, [*inside, (7, 8)], [0.9] * len(inside) + [0.1])


def mixed() -> EdgeList:
    """A clique, a path, a star and a pair, with isolated nodes before, between and after them."""
    star = [(18, leaf) for leaf in range(19, 27)]
    return graph(33, clique(2, 6) + [(a + 10, b + 10) for a, b in path(7)] + star + [(28, 30)])


def lattice(shape: tuple[int, int, int], seed: int = 0, share: float = 1.0) -> EdgeList:
    """A token lattice with random weights in (0, 1], keeping each edge with probability ``share``."""
    rng = np.random.default_rng(seed)
    node = np.arange(TokenGrid(*shape).n_nodes).reshape(shape)
    src = np.concatenate([node[:, :, :-1].ravel(), node[:, :-1].ravel(), node[:-1].ravel()])
    dst = np.concatenate([node[:, :, 1:].ravel(), node[:, 1:].ravel(), node[1:].ravel()])
    keep = rng.random(src.size) < share
    weight = 1 - rng.random(src.size, np.float32)
    return EdgeList.from_arrays(node.size, src[keep], dst[keep], weight[keep])


def sparse(n_nodes: int, n_edges: int, seed: int = 0) -> EdgeList:
    """A random graph with up to ``n_edges`` edges and weights in (0, 1]."""
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(0, n_nodes, (n_edges, 2)), axis=1)
    ends = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0)
    return EdgeList.from_arrays(n_nodes, ends[:, 0], ends[:, 1], 1 - rng.random(len(ends), np.float32))


@cache
def sample(n_frames: int = 40, tau_sim: float = 0.8) -> EdgeList:
    """The community graph of the bundled sample's first frames."""
    frames = stgraph.VideoTokens.from_array(np.asarray(stgraph.sample().lattice[:n_frames]))
    return stgraph.build_graph(frames, tau_sim).edges


ZOO = {
    "empty": partial(graph, 0, []),
    "one node": partial(graph, 1, []),
    "no edges": partial(graph, 7, []),
    "one edge": partial(graph, 2, [(0, 1)]),
    "path": partial(graph, 30, path(30)),
    "cycle": partial(graph, 30, [*path(30), (29, 0)]),
    "star": partial(graph, 41, [(20, leaf) for leaf in range(41) if leaf != 20]),
    "clique": partial(graph, 24, clique(0, 24)),
    "bridged cliques": bridged_cliques,
    "mixed": mixed,
    "equal weights": partial(graph, 40, [*clique(0, 20), *path(40)[20:]], 0.85),
    "tiny weights": partial(graph, 16, [*clique(0, 8), *clique(8, 8), (7, 8)], 1e-6),
    "row of tokens": partial(lattice, (1, 1, 50)),
    "one frame": partial(lattice, (1, 9, 7)),
    "one token a frame": partial(lattice, (40, 1, 1)),
    "video": partial(lattice, (4, 6, 5)),
    "video with holes": partial(lattice, (5, 6, 6), 1, 0.4),
    "sparse": partial(sparse, 120, 90),
    "denser": partial(sparse, 80, 400, 2),
    "sample": partial(sample, 2),
}
