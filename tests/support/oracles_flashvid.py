"""FlashVID restated plainly: tables of cosines, one token after the other."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from oracles_encoder import budgets, scaled, signal
from oracles_merging import cosines, note_best
from oracles_segments import density_peaks, distances
from parity_cases import Expected, Margin, Restatement, Video

Array = np.ndarray[Any, Any]


def segments_of(means: Array, tau: float, least: int, margin: Margin) -> list[list[int]]:
    """``segment`` and ``additional_segment``."""
    T = len(means)
    alike = [round(float(cosines(means[t : t + 1], means[t + 1 : t + 2])[0, 0]), 12) for t in range(T - 1)]
    for value in alike:
        margin.note(value - tau)
    cuts = [t for t in range(T - 1) if alike[t] < tau]
    rest = sorted((t for t in range(T - 1) if t not in cuts), key=lambda t: (alike[t], t))
    more = max(0, least - 1 - len(cuts))
    if 0 < more < len(rest):
        margin.note(alike[rest[more - 1]] - alike[rest[more]])
    cuts = sorted(cuts + rest[:more])
    ends = [*[t + 1 for t in cuts], T]
    return [list(range(a, b)) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def picks_of(x: Array, weights: Array, count: int, margin: Margin) -> list[int]:
    """``attn_div_v2``: farthest first on the columns, never twice."""
    P = len(x)
    table = (1 - np.round(cosines(x, x), 12)) * weights[None, :]
    chosen: list[int] = []
    for step in range(count):
        values = []
        for j in range(P):
            others = [table[i, j] for i in (chosen if step else [i for i in range(P) if i != j])]
            values.append(round(min(others), 12) if others else 0.0)
        order = sorted((j for j in range(P) if j not in chosen), key=lambda j: (-values[j], j))
        if len(order) > 1:
            margin.note(values[order[0]] - values[order[1]])
        chosen.append(order[0])
    return sorted(chosen)


def shares(sizes: list[int], n: int) -> list[int]:
    """In proportion, by largest remainder."""
    exact = [Fraction(n * size, max(1, sum(sizes))) for size in sizes]
    counts = [math.floor(value) for value in exact]
    for g in sorted(range(len(sizes)), key=lambda g: (math.floor(exact[g]) - exact[g], g))[: n - sum(counts)]:
        counts[g] += 1
    return counts


def flashvid(
    exact_count: bool = True,
    true_means: bool = True,
    alpha: float = 0.7,
    tau: float = 0.8,
    segment_tau: float = 0.9,
    segments: int = 8,
) -> Restatement:
    """``flashvid_compression``."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        T, H, W = video.shape
        P, margin = H * W, Margin()
        attention = scaled(signal(video, "enc_recv_attn")).reshape(T, P)
        means = video.rows.reshape(T, P, -1).mean(axis=1)
        counts = budgets(n_keep, T) if exact_count else [min(P, math.ceil(P * float(ratio) * 1.25))] * T
        picked = [math.ceil(count * alpha) for count in counts]
        rows: dict[int, Array] = {}
        for frames in segments_of(means, segment_tau, segments, margin):
            mine: list[int] = []
            for t in frames:
                x = video.rows[t * P : (t + 1) * P]
                likeness = [max(0.0, float(np.mean([v @ means[c] for c in frames]))) for v in x]
                weights = attention[t] * np.array(likeness)
                mine += [t * P + i for i in picks_of(x, weights / (weights.max() or 1), picked[t], margin)]
            for i in mine:
                rows[i] = np.eye(1, video.n, i)[0]
            wanted = sum(counts[t] - picked[t] for t in frames)
            if wanted == 0:
                continue
            best: dict[int, tuple[float, int]] = {}
            for t in frames:
                for i in range(t * P, (t + 1) * P):
                    best[i] = (-1.0, -1)
                    before = [j for j in range((t - 1) * P, t * P) if j not in mine]
                    if t == frames[0] or i in mine or not before:
                        continue
                    row = np.round(cosines(video.rows[i : i + 1], video.rows[before]), 12)
                    note_best(row, margin) if len(before) > 1 else None
                    margin.note(row.max() - tau)
                    best[i] = (float(row.max()), before[int(row[0].argmax())])
            merged = {i: j for i, (value, j) in best.items() if value > tau}
            least = sum(counts[t] for t in frames)
            if len(best) - len(merged) < least:
                ordered = sorted((value for value, _ in best.values()), reverse=True)
                k = len(best) - least
                bound = max(ordered[k - 1], -1 + 1e-6) if k else math.inf
                for value in ordered:
                    margin.note(value - bound)
                merged = {i: j for i, (value, j) in best.items() if value > bound}
            trees: dict[int, list[int]] = {}
            for i in sorted(best):
                if i not in mine:
                    root = i
                    while root in merged:
                        root = merged[root]
                    trees.setdefault(root, []).append(i)
            divisor = {
                root: len(nodes) if true_means else 1 + sum(merged.get(i) == root for i in nodes)
                for root, nodes in trees.items()
            }
            vector = {root: video.rows[nodes].sum(axis=0) / divisor[root] for root, nodes in trees.items()}
            of_frame = [sorted(root for root in trees if root // P == t) for t in frames]
            share = wanted / max(1, len(trees))
            if exact_count:
                n_clusters = shares([len(roots) for roots in of_frame], wanted)
            else:
                n_clusters = [min(len(roots), math.ceil(len(roots) * share)) for roots in of_frame]
            for roots, count in zip(of_frame, n_clusters, strict=True):
                if count == 0:
                    continue
                x = np.array([vector[root] for root in roots])
                centre = list(range(len(roots)))
                if count < len(roots):
                    scores = density_peaks(x, min(count, 7), margin)
                    order = sorted(centre, key=lambda i: (-scores[i], i))
                    margin.note((scores[order[count - 1]] - scores[order[count]]) / (scores[order[0]] or 1))
                    centres = sorted(order[:count])
                    table = np.round(distances(x)[:, centres], 12)
                    if count > 1:
                        note_best(-table, margin)
                    centre = [i if i in centres else centres[int(table[i].argmin())] for i in centre]
                for c in set(centre):
                    joined = [roots[i] for i in range(len(roots)) if centre[i] == c]
                    row = np.zeros(video.n)
                    for root in joined:
                        row[trees[root]] = 1 / len(joined) / divisor[root]
                    rows[roots[c]] = (row > 0) / np.count_nonzero(row) if true_means else row
        kept = sorted(rows)
        return Expected(kept, margin=margin.value, matrix=np.array([rows[i] for i in kept]).reshape(len(kept), -1))

    return restate
