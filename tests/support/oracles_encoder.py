"""Methods that read the vision encoder, frame by frame, restated plainly: FasterVLM, VisPruner, VisionZip, PruMerge.

Attention is scaled so that its mean over a frame is 1 before distances are noted: a near-tie is then a matter of the
relative difference.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from oracles_merging import cosines, note_best
from parity_cases import Expected, Margin, Video

Array = np.ndarray[Any, Any]


def budgets(n_keep: int, n_frames: int) -> list[int]:
    """K spread over the frames."""
    return [(t + 1) * n_keep // n_frames - t * n_keep // n_frames for t in range(n_frames)]


def signal(video: Video, name: str) -> Array:
    """[T, ..., P(, c)] float64; from an encoder grid of twice the height and width by means of 2 x 2."""
    values = np.asarray(video.signals[name]).astype(np.float64)
    _, H, W = video.shape
    axis = 2 if name == "enc_cls_attn" else 1
    if values.ndim <= axis or values.shape[axis] != 4 * H * W:
        return values
    blocks = values.reshape(*values.shape[:axis], H, 2, W, 2, *values.shape[axis + 1 :])
    means = blocks.mean(axis=(axis + 1, axis + 3))
    return means.reshape(*values.shape[:axis], H * W, *values.shape[axis + 1 :])


def scaled(attention: Array) -> Array:
    """Mean 1."""
    mean = attention.mean()
    return attention / mean if mean else attention


def ranked(scores: Array, candidates: list[int]) -> list[int]:
    """Largest first; among equals the smaller index."""
    return sorted(candidates, key=lambda i: (-scores[i], i))


def note_order(scores: Array, order: list[int], margin: Margin) -> None:
    """Note every step of an order."""
    for a, b in pairwise(order):
        margin.note(scores[a] - scores[b])


def note_cut(scores: Array, order: list[int], k: int, margin: Margin) -> None:
    """Note the step behind the first k."""
    if 0 < k < len(order):
        margin.note(scores[order[k - 1]] - scores[order[k]])


def one(i: int, n: int) -> Array:
    """Weights of a token kept as it is."""
    return np.eye(1, n, i)[0]


def over_frames(video: Video, per_frame: Any) -> Expected:
    """One restatement a frame: (t, margin, scores) -> {token: weights of its row or None}, on indices of the frame."""
    T, H, W = video.shape
    P, margin = H * W, Margin()
    scores = np.zeros((T, P))
    rows: dict[int, Array] = {}
    for t in range(T):
        for i, weights in per_frame(t, margin, scores[t]).items():
            row = np.zeros(video.n)
            row[t * P : (t + 1) * P] = weights
            rows[t * P + i] = row
    kept = sorted(rows)
    groups = np.repeat(np.arange(T), P)
    matrix = np.array([rows[i] for i in kept]).reshape(len(kept), video.n)
    return Expected(kept, scores.ravel(), groups, margin.value, matrix)


def fastervlm(video: Video, n_keep: int, ratio: Fraction) -> Expected:
    """Most attention from the CLS token."""
    T, H, W = video.shape
    attention = signal(video, "enc_cls_attn").mean(axis=1)
    spread = budgets(n_keep, T)

    def frame(t: int, margin: Margin, scores: Array) -> dict[int, Any]:
        scores[:] = scaled(attention[t])
        return dict.fromkeys(ranked(scores, list(range(H * W)))[: spread[t]], 0.0)

    expected = over_frames(video, frame)
    expected.matrix = None
    return expected


def vispruner(video: Video, n_keep: int, budget: Fraction, ratio: float = 0.5) -> Expected:
    """A share by attention, the rest by rounds of dropping near-duplicates."""
    T, H, W = video.shape
    attention = signal(video, "enc_cls_attn").mean(axis=1)
    x = signal(video, "enc_features")
    spread = budgets(n_keep, T)

    def frame(t: int, margin: Margin, scores: Array) -> dict[int, Any]:
        scores[:] = math.nan
        weight = scaled(attention[t])
        order = ranked(weight, list(range(H * W)))
        important = int(spread[t] * ratio)
        diverse = spread[t] - important
        kept, rest = order[:important], order[important:]
        note_cut(weight, order, important, margin)
        if diverse:
            note_order(weight, rest, margin)
        table = cosines(x[t], x[t])
        while diverse and len(rest) > diverse:
            a, b = rest[0::2], rest[1::2]
            best = {i: table[i, b].max() for i in a}
            dropped = sorted(a, key=lambda i: (-best[i], -i))[: min(8, len(rest) - diverse)]
            note_order(best, ranked(best, a), margin)
            rest = [i for i in ranked(best, a) if i not in dropped] + b
        return dict.fromkeys(kept + (rest if diverse else []), 0.0)

    expected = over_frames(video, frame)
    expected.matrix = None
    return expected


def visionzip(video: Video, n_keep: int, ratio: Fraction) -> Expected:
    """Dominant tokens by attention, contextual ones at even steps of the others, which join them."""
    T, H, W = video.shape
    P = H * W
    attention = signal(video, "enc_cls_attn").sum(axis=1)
    keys = signal(video, "enc_keys_mean")[:, -P:]
    spread = budgets(n_keep, T)

    def frame(t: int, margin: Margin, scores: Array) -> dict[int, Any]:
        k = spread[t]
        if k == 0:
            return {}
        weight = scaled(attention[t])
        scores[:] = math.nan
        n_dominant = max(1, 27 * k // 32)
        n_context = k - n_dominant
        order = ranked(weight, list(range(P)))
        note_cut(weight, order, n_dominant, margin)
        out = {i: one(i, P) for i in order[:n_dominant]}
        if n_context == 0:
            scores[:] = weight
            return out
        rest = sorted(order[n_dominant:])
        targets = rest[:: max(1, len(rest) // n_context)][:n_context]
        joined: dict[int, list[int]] = {target: [] for target in targets}
        table = cosines(keys[t], keys[t][targets])
        note_best(table[[i for i in rest if i not in joined]], margin)
        for i in rest:
            if i not in joined:
                joined[targets[int(np.argmax(table[i]))]].append(i)
        for target, members in joined.items():
            out[target] = one(target, P)
            for i in members:
                out[target][i] += 1 / len(members)
        return out

    return over_frames(video, frame)


def outliers(attention: Array, margin: Margin) -> int:
    """How many lie above Q3 + 1.5 IQR; quartiles by linear interpolation."""
    ordered = sorted(attention.tolist())

    def quantile(q: float) -> float:
        place = q * (len(ordered) - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        return float(low + (high - low) * (place - math.floor(place)))

    bound = quantile(0.75) + 1.5 * (quantile(0.75) - quantile(0.25))
    for value in ordered:
        margin.note(value - bound)
    return sum(value > bound for value in ordered)


def prumerge(
    video: Video, n_keep: int, ratio: Fraction, plus: bool = False, exact_count: bool = True, neighbours: int = 32
) -> Expected:
    """Outliers of the attention; each takes its neighbours in, and one token takes the others."""
    T, H, W = video.shape
    P = H * W
    attention, keys = signal(video, "prumerge_cls_attn"), signal(video, "enc_keys_full")
    spread = budgets(n_keep, T)

    def chosen(t: int, weight: Array, margin: Margin) -> list[int]:
        """The kept tokens but for the extra one."""
        order = ranked(weight, list(range(P)))
        b = max(1, spread[t] - 1)
        q = b
        share = outliers(weight, margin) / P if plus or not exact_count else 0.0
        if not exact_count or plus:
            q = max(1, int(P * share))
        if exact_count and (not plus or b <= q):
            note_cut(weight, order, b, margin)
            return order[:b]
        top = order[:q]
        note_cut(weight, order, q, margin)
        rest = sorted(order[q:])
        if exact_count:
            m = b - q
            return top + [rest[(2 * i + 1) * len(rest) // (2 * m)] for i in range(m)]
        if not plus:
            return top
        step = max(1, int(int(1 / (share or 1 / P)) / 3))
        return top + [i for i in range(0, P - 1, step) if i not in top]

    def frame(t: int, margin: Margin, scores: Array) -> dict[int, Any]:
        scores[:] = math.nan
        if exact_count and spread[t] == 0:
            return {}
        if exact_count and spread[t] == P:
            return {i: one(i, P) for i in range(P)}
        weight = scaled(attention[t])
        kept = chosen(t, weight, margin)
        table = cosines(keys[t], keys[t])
        out = {}
        for i in kept:
            others = ranked(table[i], [j for j in range(P) if j != i])
            near = others[: min(neighbours, P - 1)]
            note_cut(table[i], others, len(near), margin)
            out[i] = one(i, P)
            for j in near:
                out[i][j] += attention[t][j]
        left = [i for i in range(P) if i not in kept]
        if left and not (exact_count and spread[t] == 1):
            left = ranked(weight, left)
            note_cut(weight, left, 1, margin)
            out[left[0]] = np.zeros(P)
            out[left[0]][left] = attention[t][left]
        return out

    return over_frames(video, frame)
