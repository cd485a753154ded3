"""PruneVid restated plainly: frames relabelled one after the other, pairs of frames compared one by one."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from oracles_merging import cosines, note_best
from oracles_pruning import highest
from oracles_segments import density_peaks, distances
from parity_cases import Expected, Margin, Restatement, Video

Array = np.ndarray[Any, Any]


def clusters(x: Array, count: int, margin: Margin) -> list[int]:
    """The centre of each point, by DPC-KNN with seven neighbours."""
    scores = density_peaks(x, 7, margin)
    order = sorted(range(len(x)), key=lambda i: (-scores[i], i))
    if count < len(x):
        margin.note((scores[order[count - 1]] - scores[order[count]]) / (scores[order[0]] or 1))
    centres = sorted(order[:count])
    table = np.round(distances(x)[:, centres], 12)
    if count > 1:
        note_best(-table, margin)
    return [i if i in centres else centres[int(np.argmin(table[i]))] for i in range(len(x))]


def runs_of(labels: list[int]) -> list[tuple[int, int]]:
    """Half-open runs of equal labels."""
    cuts = [0, *[i for i in range(1, len(labels)) if labels[i] != labels[i - 1]], len(labels)]
    return list(pairwise(cuts))


def windows_of(labels: list[int]) -> list[tuple[int, int]]:
    """``refine_clusters`` and ``segment_lengths``."""
    refined = list(labels)
    for label in set(labels):
        mine = [run for run in runs_of(labels) if labels[run[0]] == label]
        longest = max(b - a for a, b in mine)
        for a, b in mine:
            if b - a < longest or longest == 1:
                refined[a:b] = [-1] * (b - a)
    for a, b in runs_of(refined):
        if refined[a] != -1:
            continue
        left = right = 0
        while a - left - 1 >= 0 and refined[a - left - 1] == refined[a - 1]:
            left += 1
        while b + right < len(refined) and refined[b + right] == refined[b]:
            right += 1
        label = 0 if left == right == 0 else refined[a - 1] if left >= right else refined[b]
        refined[a:b] = [label] * (b - a)
    return runs_of(refined)


def quotas(sizes: list[int], n: int) -> list[int]:
    """One each where there are enough, and then shares of the rest by largest remainder."""
    least = 1 if n >= len(sizes) else 0
    whole = sum(size - least for size in sizes)
    exact = [Fraction((n - least * len(sizes)) * (size - least), max(1, whole)) for size in sizes]
    counts = [least + math.floor(value) for value in exact]
    order = sorted(range(len(sizes)), key=lambda g: (math.floor(exact[g]) - exact[g], g))
    for g in order[: n - sum(counts)]:
        counts[g] += 1
    return counts


def merged(
    video: Video, n_keep: int | None, tau: float, segment_ratio: float, cluster_ratio: float, margin: Margin
) -> tuple[dict[int, Array], list[list[int]]]:
    """Weights of every merged token, and the merged tokens of each group."""
    T, H, W = video.shape
    P = H * W
    means = np.array([video.rows[t * P : (t + 1) * P].mean(axis=0) for t in range(T)])
    labels = clusters(means, max(1, int(T * segment_ratio)), margin)
    groups: list[list[list[int]]] = []  # of points, a point being the nodes it is the mean of
    for first, end in windows_of(labels):
        still = []
        for p in range(P):
            pairs = [(a, b) for a in range(first, end) for b in range(first, end) if a != b]
            mean = sum(video.cosine(a * P + p, b * P + p) for a, b in pairs) / max(1, len(pairs))
            margin.note(mean - tau)
            if pairs and round(mean, 11) > tau:
                still.append(p)
        if still:
            groups.append([[t * P + p for t in range(first, end)] for p in still])
        moving = [p for p in range(P) if p not in still]
        if moving:
            groups += [[[t * P + p] for p in moving] for t in range(first, end)]
    sizes = [len(group) for group in groups]
    if n_keep is None:
        counts = [max(1, int(size * cluster_ratio)) if size > 14 else size for size in sizes]
    else:
        counts = quotas(sizes, min(n_keep, sum(sizes)))
    rows: dict[int, Array] = {}
    tokens: list[list[int]] = []
    for group, count in zip(groups, counts, strict=True):
        if count == 0:
            continue
        points = np.array([video.rows[nodes].mean(axis=0) for nodes in group])
        centre = clusters(points, count, margin) if count < len(group) else list(range(len(group)))
        tokens.append([])
        for c in sorted(set(centre)):
            mine = [group[i] for i in range(len(group)) if centre[i] == c]
            row = np.zeros(video.n)
            for nodes in mine:
                row[nodes] += 1 / len(mine) / len(nodes)
            rows[group[c][0]] = row
            tokens[-1].append(group[c][0])
    left = 0 if n_keep is None else n_keep - len(rows)
    if left > 0:
        apart = np.full(video.n, -np.inf)
        for group in groups:
            for nodes in group:
                if len(nodes) > 1:
                    mean = video.rows[nodes].mean(axis=0)
                    apart[nodes[1:]] = 1 - np.round(cosines(video.rows[nodes[1:]], mean[None])[:, 0], 12)
        others = [i for i in range(video.n) if apart[i] > -1]
        ordered = sorted(others, key=lambda i: (-apart[i], i))
        if left < len(ordered):
            margin.note(apart[ordered[left - 1]] - apart[ordered[left]])
        tokens.append(sorted(ordered[:left]))
        for i in tokens[-1]:
            rows[i] = np.eye(1, video.n, i)[0]
    return rows, tokens


def expected(rows: dict[int, Array], margin: Margin) -> Expected:
    kept = sorted(rows)
    return Expected(kept, margin=margin.value, matrix=np.array([rows[i] for i in kept]))


def prunevid(
    exact_count: bool = True, tau: float = 0.8, segment_ratio: float = 0.25, cluster_ratio: float = 0.5
) -> Restatement:
    """``merge_frames_dynamic``."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        margin = Margin()
        rows, _ = merged(video, n_keep if exact_count else None, tau, segment_ratio, cluster_ratio, margin)
        return expected(rows, margin)

    return restate


def prunevid_attention(exact_count: bool = True, alpha: float = 0.4) -> Restatement:
    """The cut of ``elastic_cache`` behind it, by each merged token's most attended member."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        margin = Margin()
        n_merged = min(video.n, math.ceil(n_keep / Fraction(str(alpha))))
        rows, groups = merged(video, n_merged if exact_count else None, 0.8, 0.25, 0.5, margin)
        values = video.signals["llm_attn_textmax"]
        attention = [float(values[video.signals["seq_index"][row]]) for row in video.row_of]
        scores = np.full(video.n, -1.0)
        for i, row in rows.items():
            scores[i] = max(attention[j] for j in np.flatnonzero(row))
        sizes = [len(group) for group in groups]
        counts = quotas(sizes, n_keep) if exact_count else [max(1, int(size * alpha)) for size in sizes]
        kept: list[int] = []
        for group, count in zip(groups, counts, strict=True):
            kept += highest(scores, group, count)
        return expected({i: rows[i] for i in kept}, margin)

    return restate
