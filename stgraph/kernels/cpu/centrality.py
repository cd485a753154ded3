"""Mean cosine similarity of each token to all others in its group, in one streaming pass over the features."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.components import group_blocks
from stgraph.kernels.cpu.eight_rows import add_eight, origin, sum_eight, token
from stgraph.kernels.cpu.rows import FASTMATH, row_source, widen
from stgraph.kernels.cpu.threads import even_blocks, run_blocks
from stgraph.kernels.cpu.vector_loops import LANES, lead_of

_LARGE = 4096  # members; larger groups are cut into blocks so that threads can share them
_BLOCK = 1024
_NARROW = 256  # channels; narrower slabs cost more than reading from memory twice
_NEAR = 416 * 1024  # bytes of a group that stay in a core's cache from the first read to the second
_SMALLEST, _LARGEST = 1e-15, 1e15  # norms outside this range lose precision in float32 and take the float64 path


@compiled()
def _safe(norm):  # type: ignore[no-untyped-def]
    return _SMALLEST <= norm <= _LARGEST


@compiled()
def _look_up(x, members, a, b, norms, H, W, origins, scales):  # type: ignore[no-untyped-def]
    """Look up origins and scales of members[a:b]. Groups of eight that pass the end are filled with the last member at
    scale 0; tokens of the float64 path also have scale 0."""
    for i in range(b - a):
        node = members[a + i]
        origins[i] = origin(x, node, H, W)
        scales[i] = 1.0 / norms[node] if _safe(norms[node]) else 0.0
    origins[b - a :] = origins[b - a - 1]
    scales[b - a :] = 0


@compiled(fastmath=FASTMATH)
def _add_rows(x, members, a, b, norms, H, W, lead, origins, scales, k, n, total):  # type: ignore[no-untyped-def]
    """total[:n] += channels k..k+n-1 of the unit features of members[a:b], found by :func:`_look_up`."""
    for i in range(0, b - a, 8):
        add_eight(x, origins, i, k, n, lead, scales, H, W, total)
    for i in range(a, b):
        norm = norms[members[i]]
        if norm > 0.0 and not _safe(norm):
            here = token(x, members[i], H, W)
            for c in range(n):
                total[c] += np.float32(np.float64(widen(here[k + c])) / norm)


@compiled(fastmath=FASTMATH)
def _sum_rows(x, members, a, b, norms, H, W, lead, origins, k, n, total, sums, wide, ahead, first):  # type: ignore[no-untyped-def]
    """sums[i] += channels k..k+n-1 of members[a + i] times ``total``; on the float64 path wide[i] += those of its unit
    features. Channels from ``first`` on of tokens with origins ``ahead`` are prefetched, unless that is None."""
    for i in range(0, b - a, 8):
        sum_eight(x, origins, i, k, n, lead, total, H, W, sums, ahead, first)
    for i in range(a, b):
        norm = norms[members[i]]
        if norm > 0.0 and not _safe(norm):
            here = token(x, members[i], H, W)
            for c in range(n):
                wide[i - a] += np.float64(widen(here[k + c])) / norm * np.float64(total[c])


@compiled()
def _mean_similarity(members, a, b, n, norms, sums, wide, out):  # type: ignore[no-untyped-def]
    """out[m] = (unit(m) . total - 1) / (n - 1) for m in members[a:b] of a group of n."""
    for i in range(a, b):
        norm = norms[members[i]]
        if _safe(norm):
            out[members[i]] = (sums[i - a] / norm - 1.0) / (n - 1)
        else:
            out[members[i]] = (wide[i - a] - 1.0) / (n - 1) if norm > 0.0 else 0.0


@compiled()
def _zeros(d, lead):  # type: ignore[no-untyped-def]
    """d zeros for a sum of rows, with padding on both sides, aligned the way the rows are."""
    room = np.zeros(d + 3 * LANES, np.float32)
    first = LANES + (lead - room.ctypes.data // 4) % LANES
    return room[first:]


@compiled()
def _edge(similarity, a, b, H, W):  # type: ignore[no-untyped-def]
    """Weight of the lattice edge from token a to the later token b; NaN if there is none or it is unknown."""
    if similarity.size > 0:
        if b - a == 1 and a % W < W - 1:
            return similarity[0, a]
        if b - a == W and a % (H * W) < (H - 1) * W:
            return similarity[1, a]
        if b - a == H * W:
            return similarity[2, a]
    return np.float32(np.nan)


@compiled()
def _at_a_glance(members, starts, g0, g1, similarity, H, W, todo, out):  # type: ignore[no-untyped-def]
    """Handle groups of one and pairs of neighbours without reading features; ``todo`` marks the groups that remain."""
    for g in range(g0, g1):
        a, n = starts[g], starts[g + 1] - starts[g]
        weight = np.float32(1) if n == 1 else np.float32(np.nan)
        if n == 2:
            weight = _edge(similarity, np.int64(members[a]), np.int64(members[a + 1]), H, W)
        todo[g] = np.isnan(weight)
        if not todo[g]:
            out[members[a]] = out[members[a + n - 1]] = weight


@compiled()
def _group_before(todo, starts, g, g0, large):  # type: ignore[no-untyped-def]
    """The last remaining group before ``g`` with at most ``large`` members; g0 - 1 if there is none."""
    g -= 1
    while g >= g0 and not (todo[g] and starts[g + 1] - starts[g] <= large):
        g -= 1
    return g


@compiled()
def _small_groups(x, members, starts, g0, g1, todo, norms, H, W, d, lead, size, large, out):  # type: ignore[no-untyped-def]
    """Handle groups of at most ``large`` members in slabs of channels that are still in the cache when read again. A
    slab's width depends only on the group. The last group comes first, since its tokens may still be in the cache."""
    total = _zeros(d, lead)
    origins, ahead = np.empty(large + 8, np.int64), np.empty(large + 8, np.int64)
    scales, scales_ahead = np.empty(large + 8, np.float32), np.empty(large + 8, np.float32)
    sums, wide = np.empty(large + 8, np.float64), np.empty(large, np.float64)
    g = _group_before(todo, starts, g1, g0, large)
    if g >= g0:
        _look_up(x, members, starts[g], starts[g + 1], norms, H, W, origins, scales)
    while g >= g0:
        a, b = starts[g], starts[g + 1]
        n, then = b - a, _group_before(todo, starts, g, g0, large)
        if then >= g0:
            room = max(n, starts[then + 1] - starts[then]) + 8
            _look_up(x, members, starts[then], starts[then + 1], norms, H, W, ahead[:room], scales_ahead[:room])
        else:
            ahead[: n + 8] = origins[: n + 8]
        sums[: n + 8] = 0
        wide[:n] = 0
        n_slabs = max(1, min(d // _NARROW, -(-d * n * size // _NEAR)))
        slab = -(-d // (n_slabs * LANES)) * LANES
        for k in range(0, d, slab):
            width = min(slab, d - k)
            total[: width + LANES] = 0
            _add_rows(x, members, a, b, norms, H, W, lead, origins, scales, k, width, total)
            later, first = (origins, k + slab) if k + slab < d else (ahead, 0)
            _sum_rows(x, members, a, b, norms, H, W, lead, origins, k, width, total, sums, wide, later, first)
        _mean_similarity(members, a, b, n, norms, sums, wide, out)
        if n == 2:  # equal by symmetry; rounding must not break the tie
            out[members[a + 1]] = out[members[a]]
        g, origins, ahead, scales, scales_ahead = then, ahead, origins, scales_ahead, scales


@compiled()
def _add_block(x, members, a, b, norms, H, W, d, lead, total):  # type: ignore[no-untyped-def]
    origins, scales = np.empty(b - a + 8, np.int64), np.empty(b - a + 8, np.float32)
    _look_up(x, members, a, b, norms, H, W, origins, scales)
    _add_rows(x, members, a, b, norms, H, W, lead, origins, scales, 0, d, total)


@compiled()
def _centrality_of_block(x, members, a, b, n, norms, H, W, d, lead, total, out):  # type: ignore[no-untyped-def]
    origins, scales = np.empty(b - a + 8, np.int64), np.empty(b - a + 8, np.float32)
    sums, wide = np.zeros(b - a + 8, np.float64), np.zeros(b - a, np.float64)
    _look_up(x, members, a, b, norms, H, W, origins, scales)
    _sum_rows(x, members, a, b, norms, H, W, lead, origins, 0, d, total, sums, wide, None, 0)
    _mean_similarity(members, a, b, n, norms, sums, wide, out)


def _large_group(
    x: Any, members: Array, a: int, b: int, norms: Array, H: int, W: int, d: int, lead: int, out: Array
) -> None:
    blocks = [(a + i, a + j) for i, j in even_blocks(b - a, _BLOCK)]

    def partial(block: tuple[int, int]) -> Array:
        total: Array = _zeros(d, lead)
        _add_block(x, members, *block, norms, H, W, d, lead, total)
        return total[:d]

    whole = np.zeros(d, np.float64)
    for start, stop in even_blocks(len(blocks), 16):  # bounds the partial sums alive; they add in a fixed order
        for part in run_blocks(partial, blocks[start:stop]):
            whole += part
    total = _zeros(d, lead)
    total[:d] = whole
    run_blocks(lambda c: _centrality_of_block(x, members, *c, b - a, norms, H, W, d, lead, total, out), blocks)


def group_centrality(x: Array, norms: Array, members: Array, starts: Array, similarity: Array | None = None) -> Array:
    """Centrality of every token in its group (ST-SimDiff, equation 4), exactly and in O(N d).

    S(a) = (u_a . sum_b u_b - u_a . u_a) / (n - 1), with unit features u: the mean cosine similarity to ALL other
    members, without an all-pairs matrix. Every channel is read twice in quick succession, the second time from cache.
    In a pair this is the similarity of the two, which the graph already holds if they are neighbours.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16
    norms : [T, H, W] float64
    members, starts : as :func:`stgraph.kernels.cpu.components.group_members` returns them
    similarity : [3, T, H, W] float32, as :func:`stgraph.kernels.cpu.neighbours.neighbour_cosines` returns it; features
        of neighbouring pairs are then not read

    Returns
    -------
    [N] float32; 1 for a group of one; 0 for a zero-norm token
    """
    _, H, W, d = x.shape
    source, flat = row_source(x), norms.reshape(-1)
    lead = lead_of(source)
    weights = np.empty((3, 0), np.float32) if similarity is None else similarity.reshape(3, -1)
    sizes = np.diff(starts)
    out, todo = np.empty(members.size, np.float32), np.empty(sizes.size, np.bool_)
    large = min(_LARGE, int(sizes.max(initial=1)))

    def small(block: tuple[int, int]) -> None:
        _at_a_glance(members, starts, *block, weights, H, W, todo, out)
        _small_groups(source, members, starts, *block, todo, flat, H, W, d, lead, x.itemsize, large, out)

    run_blocks(small, group_blocks(starts)[::-1])
    for g in np.flatnonzero(sizes > _LARGE):
        _large_group(source, members, int(starts[g]), int(starts[g + 1]), flat, H, W, d, lead, out)
    return np.clip(out, -1.0, 1.0, out=out)
