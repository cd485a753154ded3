"""Methods that cut the video along time, restated plainly: HoliTom and FastVID."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from oracles_encoder import budgets, note_cut, note_order, one, ranked, scaled, signal
from oracles_merging import cosines, note_best
from parity_cases import Expected, Margin, Video

Array = np.ndarray[Any, Any]


def distances(x: Array) -> Array:
    """[n, n] Euclidean, divided by the square root of the dimension."""
    rows = [np.sqrt(((x - a) ** 2).mean(axis=1)) for a in x]
    return np.array(rows).reshape(len(x), len(x))


def density_peaks(x: Array, k: int, margin: Margin) -> Array:
    """DPC-KNN scores: density times the distance to the nearest denser point.

    The density is exp(-mean of the k smallest squared distances), the point's own 0 among them. Points are ordered by
    density, then index; the first of all gets the largest distance there is.
    """
    table = distances(x)
    n = len(x)
    density = np.array([math.exp(-float((np.sort(row)[: min(k, n)] ** 2).mean())) for row in table])
    order = ranked(density, list(range(n)))
    note_order(density, order, margin)
    scores = np.zeros(n)
    for place, i in enumerate(order):
        denser = order[:place]
        scores[i] = density[i] * (table[i, denser].min() if denser else table.max())
    return scores


def static_windows(still: Array) -> tuple[list[tuple[int, int]], int]:
    """Windows (first frame, last frame) that merge most, and how many tokens they merge away.

    ``still`` [T-1, P]: the position hardly changes from a frame to the next. Ties take the shorter window.
    """
    T = len(still) + 1
    best, start_of = [0] * T, [0] * T
    for end in range(T):
        best[end], start_of[end] = (best[end - 1] if end else 0), end
        for start in range(end - 1, -1, -1):
            merged = int(still[start:end].all(axis=0).sum()) * (end - start)
            value = (best[start - 1] if start else 0) + merged
            if value > best[end]:
                best[end], start_of[end] = value, start
    windows = []
    end = T - 1
    while end >= 0:
        windows.append((start_of[end], end))
        end = start_of[end] - 1
    return windows[::-1], best[-1]


def holitom(
    video: Video, n_keep: int, ratio: Fraction, tau: float = 0.8, beta: float = 0.6, exact_count: bool = True
) -> Expected:
    """HoliTom: windows with static positions merged over time, dynamic tokens by attention."""
    T, H, W = video.shape
    P, margin = H * W, Margin()
    x = video.x.reshape(T, P, -1)
    received = signal(video, "enc_recv_attn")
    attention = scaled(received).ravel()
    similarity = np.array([[video.cosine(t * P + i, (t + 1) * P + i) for i in range(P)] for t in range(T - 1)])
    similarity = similarity.reshape(T - 1, P)
    for value in similarity.ravel():
        margin.note(value - tau)
    windows, merged = static_windows(similarity > tau)
    share = min(float(ratio) / ((video.n - merged) / video.n), 1.0)

    rows: dict[int, Array] = {}
    centres: list[int] = []
    for start, end in windows:
        static = (similarity[start:end] > tau).all(axis=0) if end > start else np.zeros(P, bool)
        positions = np.flatnonzero(static)
        means = x[start : end + 1, positions].mean(axis=0)
        for position, weights in clusters(means, round(len(positions) * share), beta, margin).items():
            row = np.zeros((T, P))
            row[start : end + 1, positions] = weights / (end - start + 1)
            rows[start * P + positions[position]] = row.ravel()
            centres.append(start * P + int(positions[position]))
        for t in range(start, end + 1):
            dynamic = ranked(attention, [t * P + int(i) for i in np.flatnonzero(~static)])
            k = math.ceil(len(dynamic) * share)
            note_cut(attention, dynamic, k, margin)
            for i in dynamic[:k]:
                rows[i] = one(i, video.n)

    if exact_count and len(rows) > n_keep:
        order = ranked(attention, [i for i in rows if i not in centres])
        order = ranked(attention, centres) + order  # the last go first
        if len(centres) < n_keep:
            note_cut(attention, order[len(centres) :], n_keep - len(centres), margin)
        else:
            note_cut(attention, order[: len(centres)], n_keep, margin)
        rows = {i: rows[i] for i in order[:n_keep]}
    elif exact_count:
        order = ranked(attention, [i for i in range(video.n) if i not in rows])
        note_cut(attention, order, n_keep - len(rows), margin)
        for i in order[: n_keep - len(rows)]:
            rows[i] = one(i, video.n)
    return finished(rows, video.n, margin)


def clusters(x: Array, n_clusters: int, beta: float, margin: Margin) -> dict[int, Array]:
    """DPC-KNN centres, each with the weights of the points in its token."""
    if n_clusters == 0:
        return {}
    scores = density_peaks(x, min(7, n_clusters), margin)
    order = ranked(scores, list(range(len(x))))
    note_cut(scores, order, n_clusters, margin)
    centres = sorted(order[:n_clusters])
    table = distances(x)
    members: dict[int, list[int]] = {centre: [] for centre in centres}
    note_best(-table[np.ix_([i for i in range(len(x)) if i not in members], centres)], margin)
    for i in range(len(x)):
        if i not in members:
            members[centres[int(np.argmin(table[i, centres]))]].append(i)
    out: dict[int, Array] = {}
    for centre, assigned in members.items():
        out[centre] = np.zeros(len(x))
        out[centre][centre] = beta if assigned else 1.0
        for i in assigned:
            out[centre][i] = (1 - beta) / len(assigned)
    return out


def cut_into_segments(video: Video, n_cuts: int, tau: float, margin: Margin) -> list[list[int]]:
    """Frames between cuts: the least similar neighbours, and all less similar than tau."""
    pooled = signal(video, "pool_feature")
    T = len(pooled)
    similarity = np.array([cosines(pooled[[t]], pooled[[t + 1]])[0, 0] for t in range(T - 1)])
    order = ranked(-similarity, list(range(T - 1)))
    note_cut(-similarity, order, n_cuts, margin)
    for value in similarity:
        margin.note(value - tau)
    cuts = set(order[:n_cuts]) | {t for t in range(T - 1) if similarity[t] < tau}
    out: list[list[int]] = [[]]
    for t in range(T):
        out[-1].append(t)
        if t in cuts:
            out.append([])
    return out


def fastvid(
    video: Video,
    n_keep: int,
    ratio: Fraction,
    tau: float = 0.9,
    segments: int = 8,
    context: float = 0.4,
    anchor_step: int = 4,
    beta: float = 0.6,
    exact_count: bool = True,
) -> Expected:
    """FastVID: salient tokens by attention; density peaks of the anchor frames take in what is left of a segment."""
    T, H, W = video.shape
    P, margin = H * W, Margin()
    attention = scaled(signal(video, "pool_attn")).ravel()
    quota = budgets(n_keep, T) if exact_count else [int(P * float(ratio))] * T
    rows: dict[int, Array] = {}
    for frames in cut_into_segments(video, segments - 1, tau, margin):
        others: dict[int, list[int]] = {}
        budget = 0
        for t in frames:
            n_context = int(quota[t] * context)
            order = ranked(attention, list(range(t * P, (t + 1) * P)))
            n_salient = quota[t] - n_context
            note_cut(attention, order, n_salient, margin)
            for i in order[:n_salient]:
                rows[i] = one(i, video.n)
            others[t] = sorted(order[n_salient:])
            budget += n_context
        anchors = [t for t in frames if (frames[-1] - t) % anchor_step == 0]
        left = budget
        for place, t in enumerate(anchors):
            wanted = budget // len(anchors) + (exact_count and place < budget % len(anchors))
            count = min(wanted, len(others[t]))
            left -= count
            candidates = [i for u in frames for i in others[u]]
            rows |= context_tokens(video, others[t], candidates, count, beta, margin)
        if exact_count and left:
            order = ranked(attention, [i for t in frames for i in range(t * P, (t + 1) * P) if i not in rows])
            note_cut(attention, order, left, margin)
            for i in order[:left]:
                rows[i] = one(i, video.n)
    return finished(rows, video.n, margin)


def context_tokens(
    video: Video, own: list[int], candidates: list[int], count: int, beta: float, margin: Margin
) -> dict[int, Array]:
    """The densest ``count`` of an anchor frame's ``own`` tokens, each with its share of the candidates."""
    if count == 0:
        return {}
    scores = density_peaks(video.rows[own], 4, margin)
    order = ranked(scores, list(range(len(own))))
    note_cut(scores, order, count, margin)
    centres = sorted(own[place] for place in order[:count])
    table = cosines(video.rows[candidates], video.rows[centres])
    members: dict[int, list[int]] = {centre: [] for centre in centres}
    note_best(table, margin)
    for row, i in zip(table, candidates, strict=True):
        members[centres[int(np.argmax(row))]].append(i)
    out = {}
    for centre, assigned in members.items():
        own_weight = max(1 / (len(assigned) + 1), beta)
        out[centre] = np.zeros(video.n)
        for i in assigned:
            out[centre][i] += (1 - own_weight) / len(assigned)
        out[centre][centre] += own_weight
    return out


def finished(rows: dict[int, Array], n: int, margin: Margin) -> Expected:
    kept = sorted(rows)
    return Expected(kept, margin=margin.value, matrix=np.array([rows[i] for i in kept]).reshape(len(kept), n))
