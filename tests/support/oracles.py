"""What the kernels compute, restated as slow plain formulas in float64."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Edge = tuple[int, int]

RIGHT, BOTTOM, TEMPORAL = 0, 1, 2


def unit(x: Array) -> Array:
    """Rows of unit length; a row of zeros stays zero."""
    x = x.astype(np.float64)
    norms = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    out: Array = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
    return out


def lattice(T: int, H: int, W: int) -> list[tuple[int, int, int]]:
    """Every lattice edge as (smaller node, larger node, family), ascending."""
    edges = []
    for t, h, w in np.ndindex(T, H, W):
        i = (t * H + h) * W + w
        if w + 1 < W:
            edges.append((i, i + 1, RIGHT))
        if h + 1 < H:
            edges.append((i, i + W, BOTTOM))
        if t + 1 < T:
            edges.append((i, i + H * W, TEMPORAL))
    return sorted(edges)


def neighbour_cosines(x: Array) -> Array:
    """[3, T, H, W]: cosine to the right, bottom and next-frame neighbour; NaN where there is none."""
    T, H, W, _ = x.shape
    u = unit(x).reshape(T * H * W, -1)
    weights = np.full((3, T * H * W), np.nan)
    for i, j, family in lattice(T, H, W):
        weights[family, i] = u[i] @ u[j]
    return weights.reshape(3, T, H, W)


def edges_above(weights: Array, tau: float, families: Sequence[int] = (RIGHT, BOTTOM, TEMPORAL)) -> list[Edge]:
    """Lattice edges of ``families`` whose weight exceeds ``tau``, ascending."""
    flat = weights.reshape(3, -1)
    return [(i, j) for i, j, f in lattice(*weights.shape[1:]) if f in families and flat[f, i] > tau]


def components(n: int, edges: Iterable[Edge]) -> Array:
    """[n] labels of the connected components, numbered by their smallest node (breadth-first search)."""
    near = defaultdict(list)
    for i, j in edges:
        near[int(i)].append(int(j))
        near[int(j)].append(int(i))
    labels = np.full(n, -1)
    count = 0
    for start in range(n):
        if labels[start] >= 0:
            continue
        labels[start] = count
        queue = [start]
        for node in queue:
            for other in near[node]:
                if labels[other] < 0:
                    labels[other] = count
                    queue.append(other)
        count += 1
    return labels


def canonical(labels: Iterable[Any]) -> Array:
    """Labels renumbered in order of first occurrence."""
    number: dict[Any, int] = {}
    return np.array([number.setdefault(label, len(number)) for label in labels], dtype=np.int64)


def groups(labels: Iterable[int]) -> dict[int, list[int]]:
    """Label -> its nodes, ascending."""
    members: dict[int, list[int]] = defaultdict(list)
    for node, label in enumerate(labels):
        members[int(label)].append(node)
    return dict(members)


def centrality(x: Array, labels: Array) -> Array:
    """[n] mean cosine similarity of each row of x [n, d] to all others of its group, all pairs; 1 for a single."""
    u = unit(x)
    out = np.ones(len(u))
    for members in groups(labels).values():
        if len(members) > 1:
            pairs = u[members] @ u[members].T
            np.fill_diagonal(pairs, 0)
            out[members] = pairs.sum(axis=1) / (len(members) - 1)
    return out


def top(values: Array, labels: Array, counts: Sequence[int]) -> Array:
    """[n] bool: the counts[g] largest values of each group g; among equals the smaller index wins."""
    keep = np.zeros(len(values), dtype=bool)
    for group, members in groups(labels).items():
        best = sorted(members, key=lambda i: (-values[i], i))
        keep[best[: counts[group]]] = True
    return keep
