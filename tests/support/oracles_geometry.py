"""Methods that read features alone, restated plainly: DivPrune, V-CAST, G-Prune, DTD, pooling and ToMe.

Whole tables in float64 to 12 places, loops, and no shared code with the selectors.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from oracles_merging import cosines
from oracles_pruning import difference, highest, spread
from parity_cases import Expected, Margin, Restatement, Video

Array = np.ndarray[Any, Any]


def table_of(rows: Array) -> Array:
    """[n, n] cosines to 12 places."""
    return np.round(cosines(rows, rows), 12)


def sets_of(video: Video, scope: str) -> list[list[int]]:
    """The tokens of each set: all of them, or those of each frame."""
    T = video.shape[0] if scope == "frame" else 1
    P = video.n // T
    return [list(range(t * P, t * P + P)) for t in range(T)]


def divprune(scope: str = "video") -> Restatement:
    """``DivPrune`` of the release, without its repeated picks."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        margin, kept = Margin(), []
        sets = sets_of(video, scope)
        for nodes, count in zip(sets, spread(n_keep, len(sets)), strict=True):
            distance = 1 - table_of(video.rows[nodes])
            for i in range(len(nodes)):
                distance[i, i] = 0
            chosen: list[int] = []
            for step in range(count):
                if step == 0:
                    values = [float(np.sort(row)[1]) if len(nodes) > 1 else 0.0 for row in distance]
                else:
                    values = [min(distance[i, j] for i in chosen) for j in range(len(nodes))]
                rest = sorted((j for j in range(len(nodes)) if j not in chosen), key=lambda j: (-values[j], j))
                if len(rest) > 1:
                    margin.note(values[rest[0]] - values[rest[1]])
                chosen.append(rest[0])
            kept += [nodes[i] for i in chosen]
        return Expected(kept, margin=margin.value)

    return restate


def vcast(temperature: float = 0.7) -> Restatement:
    """``_v_cast_compress_frames`` with the remainder it means to have."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        T, H, W = video.shape
        P, margin = H * W, Margin()
        centres, scores = [], np.zeros(video.n)
        for t in range(T):
            tokens = video.rows[t * P : (t + 1) * P]
            mean = sum(tokens) / P
            length = math.sqrt(float(mean @ mean))
            centre = mean / length if length else mean
            centres.append(centre)
            norms = [math.sqrt(float(x @ x)) for x in tokens]
            low, high = min(norms), max(norms)
            for p in range(P):
                cosine = float(tokens[p] @ centre) / norms[p] if norms[p] else 0.0
                scaled = (norms[p] - low) / (high - low) if high > low * (1 + 1e-12) else 0.0
                scores[t * P + p] = round(1 - cosine + scaled, 12)
        curve = []
        for t in range(T):
            turn = 1.0
            if 0 < t < T - 1:
                before, after = centres[t] - centres[t - 1], centres[t + 1] - centres[t]
                a, b = math.sqrt(float(before @ before)), math.sqrt(float(after @ after))
                if a > 1e-6 and b > 1e-6:
                    turn = 1 - float(before @ after) / (a * b)
            curve.append(math.exp(turn / temperature))
        base = 1 if n_keep >= T else 0
        wanted = [c / sum(curve) * (n_keep - base * T) for c in curve]
        for value in wanted:
            margin.note((value - round(value)) / max(1, n_keep))
        wanted = [round(value, 9) for value in wanted]
        counts = [min(P, base + math.floor(value)) for value in wanted]
        order = sorted(range(T), key=lambda t: (-(round(wanted[t] - math.floor(wanted[t]), 9)), t))
        for a, b in pairwise(order):
            margin.note(((wanted[a] % 1) - (wanted[b] % 1)) / max(1, n_keep))
        while sum(counts) < n_keep:
            for t in order:
                if counts[t] < P and sum(counts) < n_keep:
                    counts[t] += 1
        kept = [i for t in range(T) for i in highest(scores, list(range(t * P, t * P + P)), counts[t])]
        return Expected(kept, scores, [i // P for i in range(video.n)], margin.value)

    return restate


def gprune(tau: float = 0.5, steps: int = 5) -> Restatement:
    """``graph_based_token_propagation`` of the release on each frame, its quota a share of K."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        T, H, W = video.shape
        P, margin = H * W, Margin()
        scores, kept = np.zeros(video.n), []
        for t, count in enumerate(spread(n_keep, T)):
            nodes = list(range(t * P, t * P + P))
            similar = table_of(video.rows[nodes])
            for value in similar.ravel():
                margin.note(value - tau)
            joined = similar >= tau
            held = np.array([math.sqrt(float(x @ x)) for x in video.rows[nodes]])
            held = held / (held.max() or 1.0)
            rows = []
            for i in range(P):
                weights = [math.exp(similar[i, j] / 0.03) if joined[i, j] else 0.0 for j in range(P)]
                rows.append([w / (sum(weights) or 1.0) for w in weights])
            for _ in range(steps):
                held = np.array([sum(held[i] * rows[i][j] for i in range(P)) for j in range(P)])
            scores[nodes] = np.round(held / np.maximum(joined.sum(axis=1), 1), 12)
            kept += highest(scores, nodes, count)
        return Expected(kept, scores, [i // P for i in range(video.n)], margin.value)

    return restate


def drop(per_frame: bool = True, threshold: float | None = None) -> Restatement:
    """The rules of TimeChat-Online: a share of each frame, or a threshold."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        T, H, W = video.shape
        P = H * W
        scores = difference(video, first=255)
        if threshold is not None:
            margin = Margin()
            for value in scores[P:]:
                margin.note(1 - value - threshold)
            kept = [i for i in range(video.n) if i < P or round(1 - scores[i], 12) <= threshold]
            return Expected(kept, margin=margin.value)
        if n_keep <= P or T == 1 or not per_frame:
            return Expected(highest(scores, list(range(video.n)), n_keep), scores)
        kept = list(range(P))
        for t, count in enumerate(spread(n_keep - P, T - 1), start=1):
            kept += highest(scores, list(range(t * P, t * P + P)), count)
        return Expected(kept, scores, [i // P for i in range(video.n)])

    return restate


def pool(exact_count: bool = True) -> Restatement:
    """Means over torch's adaptive cells, and the tokens least like them."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        T, H, W = video.shape
        P = H * W
        most = max(1, n_keep // T)
        h, w = 1, 1
        for y in range(1, H + 1):
            for x in range(1, W + 1):
                fits = x == max(1, min(W, math.floor(y * W / H + 0.5))) or y == max(
                    1, min(H, math.floor(x * H / W + 0.5))
                )
                if fits and y * x <= most and (y * x, y) > (h * w, h):
                    h, w = y, x
        rows: dict[int, Array] = {}
        scores = np.full(video.n, np.nan)
        means_at: set[int] = set()
        for t, share in enumerate(spread(n_keep, T)):
            if share == 0:
                continue
            for i in range(h):
                for j in range(w):
                    ys = range(i * H // h, math.ceil((i + 1) * H / h))
                    xs = range(j * W // w, math.ceil((j + 1) * W / w))
                    cell = [t * P + y * W + x for y in ys for x in xs]
                    at = t * P + (2 * i + 1) * H // (2 * h) * W + (2 * j + 1) * W // (2 * w)
                    means_at.add(at)
                    rows[at] = np.bincount(cell, minlength=video.n) / len(cell)
                    mean = sum(video.rows[k] for k in cell)
                    for k in cell:
                        y, x = divmod(k - t * P, W)
                        if y * h // H == i and x * w // W == j:
                            scores[k] = round(1 - float(cosines(video.rows[k : k + 1], mean[None])[0, 0]), 12)
        if exact_count:
            others = [i for i in range(video.n) if i not in means_at]
            left = n_keep - len(means_at)
            outside = np.where(np.isnan(scores), 0.0, scores)
            for i in highest(outside, others, left):
                rows[i] = np.eye(1, video.n, i)[0]
        kept = sorted(rows)
        return Expected(kept, scores, matrix=np.array([rows[i] for i in kept]))

    return restate


def tome(scope: str = "video") -> Restatement:
    """Bipartite soft matching, pair by pair."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        margin = Margin()
        groups: dict[int, list[int]] = {}
        sets = sets_of(video, scope)
        for nodes, count in zip(sets, spread(n_keep, len(sets)), strict=True):
            mine = {i: [i] for i in nodes} if count else {}
            while len(mine) > count:
                places = sorted(mine)
                means = np.array([video.rows[mine[i]].mean(axis=0) for i in places])
                table = table_of(means)
                pairs = []
                for a in range(0, len(places), 2):
                    others = sorted(range(1, len(places), 2), key=lambda b: (-table[a, b], b))
                    if len(others) > 1:
                        margin.note(table[a, others[0]] - table[a, others[1]])
                    pairs.append((float(table[a, others[0]]), places[a], places[others[0]]))
                pairs.sort(key=lambda pair: (-pair[0], pair[1]))
                n_merged = min(len(pairs), len(mine) - count)
                if n_merged < len(pairs):
                    margin.note(pairs[n_merged - 1][0] - pairs[n_merged][0])
                for _, a, b in pairs[:n_merged]:
                    mine[b] += mine.pop(a)
            groups |= mine
        kept = sorted(groups)
        matrix = np.zeros((len(kept), video.n))
        for k, i in enumerate(kept):
            matrix[k, groups[i]] = 1 / len(groups[i])
        return Expected(kept, margin=margin.value, matrix=matrix)

    return restate
