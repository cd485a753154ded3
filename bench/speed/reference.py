"""Reference implementation of ST-SimDiff: loops over tokens and edges, NumPy for one vector at a time.

The paper's equations without regard for speed: the baseline of the speed table and, being independent of the kernels,
an oracle.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from stgraph.aliases import Array


def select(x: Array, retain_ratio: float, tau_sim: float = 0.8, tau_diff: float = 0.2) -> list[int]:
    """Kept token indices of [T, H, W, d] features: connected components capped at floor(sqrt(N)), SRTS, DETS and the
    reduction by difference, then centrality."""
    T, H, W, _ = x.shape
    edges = similarities(x)
    neighbours: list[list[int]] = [[] for _ in range(T * H * W)]
    for i, j, w in edges:
        if w > tau_sim:
            neighbours[i].append(j)
            neighbours[j].append(i)
    communities = [part for c in components(neighbours) for part in split(c, math.isqrt(T * H * W))]
    flat = x.reshape(-1, x.shape[-1])
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = flat / np.where(norms > 0, norms, 1)
    centrality = [1.0] * len(flat)
    representatives: set[int] = set()
    for c in communities:
        for a in c:
            if len(c) > 1:
                centrality[a] = sum(float(unit[a] @ unit[b]) for b in c if b != a) / (len(c) - 1)
        if len(c) == 2:
            centrality[c[1]] = centrality[c[0]]  # equal by symmetry; rounding must not break the tie
        ranked = sorted(c, key=lambda a: (-centrality[a], a))
        representatives.update(ranked[: math.ceil(round(len(c) * retain_ratio, 9))])
    difference = {j: 1 - w for i, j, w in edges if j - i == H * W}
    events = {j for j, gap in difference.items() if 1 - gap < tau_diff}
    target = math.ceil(round(len(flat) * retain_ratio, 9))

    def importance(a: int) -> float:
        return 2 + difference[a] if a in events else centrality[a]

    return sorted(sorted(representatives | events, key=lambda a: (-importance(a), a))[:target])


def cosine(a: Array, b: Array) -> float:
    """Cosine similarity of two vectors; 0 if one is zero."""
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if scale else 0.0


def similarities(x: Array) -> list[tuple[int, int, float]]:
    """(i, j, cosine) of every lattice edge, i < j."""
    T, H, W, _ = x.shape
    edges = []
    for t in range(T):
        for h in range(H):
            for w in range(W):
                i = (t * H + h) * W + w
                if w + 1 < W:
                    edges.append((i, i + 1, cosine(x[t, h, w], x[t, h, w + 1])))
                if h + 1 < H:
                    edges.append((i, i + W, cosine(x[t, h, w], x[t, h + 1, w])))
                if t + 1 < T:
                    edges.append((i, i + H * W, cosine(x[t, h, w], x[t + 1, h, w])))
    return edges


def components(neighbours: list[list[int]]) -> list[list[int]]:
    """Connected components in breadth-first order from their smallest node."""
    seen = [False] * len(neighbours)
    found = []
    for root in range(len(neighbours)):
        if seen[root]:
            continue
        seen[root] = True
        queue, members = deque([root]), []
        while queue:
            i = queue.popleft()
            members.append(i)
            for j in neighbours[i]:
                if not seen[j]:
                    seen[j] = True
                    queue.append(j)
        found.append(members)
    return found


def split(community: list[int], cap: int) -> list[list[int]]:
    """Runs of at most ``cap`` tokens in raster order."""
    ordered = sorted(community)
    return [ordered[i : i + cap] for i in range(0, len(ordered), cap)]
