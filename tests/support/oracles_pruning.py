"""Selectors that keep tokens as they are, restated plainly: loops and float64, from the papers and the official code.

Each takes ``(video, n_keep, ratio)`` as :func:`parity_cases.parity` wants it.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from parity_cases import Expected, Margin, Restatement, Video, cosine
from selection_oracles import Oracle

Array = np.ndarray[Any, Any]


def highest(scores: Any, among: list[int], k: int) -> list[int]:
    """The k of ``among`` with the highest score; among equals the smaller index."""
    return sorted(sorted(among, key=lambda i: (-scores[i], i))[:k])


def evenly(n: int, k: int) -> list[int]:
    """k places out of n at even distances: the middle of each of k equal parts."""
    return [(2 * i + 1) * n // (2 * k) for i in range(k)]


def spread(k: int, n: int) -> list[int]:
    """k things over n places, as evenly as integers allow, later places first."""
    return [(i + 1) * k // n - i * k // n for i in range(n)]


def difference(video: Video, first: float) -> Array:
    """[N] 1 - cosine to the same position one frame before; ``first`` in the first frame."""
    T, H, W = video.shape
    P = H * W
    return np.array([first if i < P else 1 - video.cosine(i - P, i) for i in range(T * P)])


def uniform(axis: str) -> Restatement:
    """The definition of docs/methods.md; no paper has one."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        T, H, W = video.shape
        P = H * W
        frames, places = list(range(T)), list(range(P))
        if axis == "time":
            frames = evenly(T, math.ceil(Fraction(n_keep, P)))
        elif axis == "space":
            places = evenly(P, math.ceil(Fraction(n_keep, T)))
        tokens = [t * P + p for t in frames for p in places]
        return Expected([tokens[i] for i in evenly(len(tokens), n_keep)])

    return restate


def evs(video: Video, n_keep: int, ratio: Fraction) -> Expected:
    """A stable descending sort of the difference, the first frame's being 255."""
    scores = difference(video, first=255)
    return Expected(highest(scores, list(range(video.n)), n_keep), scores)


def dets(video: Video, n_keep: int, ratio: Fraction) -> Expected:
    """Equation 6's difference, ranked."""
    scores = difference(video, first=0)
    return Expected(highest(scores, list(range(video.n)), n_keep), scores)


class Rounded(Oracle):
    """To 12 places, so that what is equal on paper is equal here; ties at the cut of a community are noted."""

    def cosine(self, a: int, b: int) -> float:
        return cosine(self.rows[a], self.rows[b])

    def centrality(self, community: list[int]) -> dict[int, float]:
        if len(community) == 1:
            return {community[0]: 1.0}
        x = self.rows[community] / np.sqrt((self.rows[community] ** 2).sum(axis=1, keepdims=True))
        cosines = np.round(x @ x.T, 12)
        means = (cosines.sum(axis=1) - np.diag(cosines)) / (len(community) - 1)
        return {i: round(float(mean), 12) for i, mean in zip(community, means, strict=True)}

    def top(self, scores: dict[int, float], k: int) -> set[int]:
        ordered = sorted(scores.values(), reverse=True)
        if 0 < k < len(ordered) and ordered[k - 1] == ordered[k]:
            self.margin.note(1e-12)  # in float32 they may not be equal, and another stage follows
        return super().top(scores, k)


def st_simdiff(tau_sim: float = 0.8, tau_diff: float | str = 0.2, importance: str | None = None) -> Restatement:
    """The paper's method on connected components of any size. ``importance=None`` is the dump's attention."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        oracle = Rounded(video.x)
        communities = oracle.components(tau_sim)
        values: Any = importance or np.asarray(video.signals["importance"], np.float64)
        found = oracle.select(communities, ratio, tau_diff, values)
        # Representatives are chosen by centrality and the final cut is by importance: two tokens may change places
        # where they agree in both.
        figures = np.empty((video.n, 2))
        for community in communities:
            for i, score in oracle.centrality(community).items():
                figures[i, 0] = score
        figures[:, 1] = oracle.difference() if importance else values.reshape(-1)
        return Expected(found.kept, figures, margin=oracle.margin.value)

    return restate


def srts(video: Video, n_keep: int, ratio: Fraction) -> Expected:
    """Representatives of every community (equations 4 and 5), and the K most central of them."""
    oracle = Rounded(video.x)
    centrality: dict[int, float] = {}
    chosen: list[int] = []
    for community in oracle.components(0.8):
        scores = oracle.centrality(community)
        centrality |= scores
        chosen += sorted(oracle.top(scores, math.ceil(len(community) * ratio)))
    kept = oracle.top({i: centrality[i] for i in chosen}, n_keep)
    return Expected(kept, [centrality[i] for i in range(video.n)], margin=oracle.margin.value)


def vidcom2(exact_count: bool = True) -> Restatement:
    """``vidcom2_compression`` with tokens at their own places."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        T, H, W = video.shape
        P, d = H * W, video.rows.shape[1]
        margin = Margin()
        variance = [float(np.mean(video.rows[:, c] ** 2) - np.mean(video.rows[:, c]) ** 2) for c in range(d)]
        channels = sorted(range(d), key=lambda c: (variance[c], c))
        quiet, next_one = channels[: d // 2], channels[d // 2]
        # Equal variances come out equal or not, as their sums were rounded: the tie rule is about tokens.
        gap = (variance[next_one] - variance[quiet[-1]]) / (max(variance) or 1.0)
        margin.note(max(gap, 1e-12))
        unit = np.zeros((T, P, d // 2))
        for t in range(T):
            for p in range(P):
                row = video.rows[t * P + p, sorted(quiet)]
                length = math.sqrt(float(row @ row))
                unit[t, p] = row / length if length > 0 else 0
        centre = unit.reshape(T * P, -1).sum(axis=0) / (T * P)
        v, f = np.zeros((T, P)), np.zeros((T, P))
        for t in range(T):
            frame_centre = unit[t].sum(axis=0) / P
            for p in range(P):
                to_video = float(((unit[t, p] - centre) ** 2).sum())
                to_frame = float(((unit[t, p] - frame_centre) ** 2).sum())
                for a in (1 / 8, 1 / 4, 1 / 2, 1, 2):
                    v[t, p] += math.exp(-to_video / (2 * a))
                    f[t, p] += math.exp(-to_frame / (2 * a))
        unusual = [-float(v[t].mean()) for t in range(T)]
        weights = [math.exp((u - max(unusual)) / 0.01) for u in unusual]
        shares = [weight / sum(weights) for weight in weights]
        mean = sum(shares) / T
        scores = (v + f).reshape(-1)
        kept: list[int] = []
        for t in range(T):
            wanted = min(float(ratio) * (1 + shares[t] - mean), 1.0) * P
            # The temperature makes 100 out of every difference of the means.
            margin.note((wanted - math.floor(wanted) - 0.5) / (100 * P))
            count = max(round(wanted), 1)
            kept += highest(-scores, list(range(t * P, t * P + P)), count)
        groups = None
        if exact_count:
            if len(kept) > n_keep:
                kept = highest(-scores, kept, n_keep)
            else:
                others = [i for i in range(T * P) if i not in kept]
                kept = kept + highest(-scores, others, n_keep - len(kept))
        else:
            groups = [i // P for i in range(T * P)]
        return Expected(kept, scores, groups, margin.value)

    return restate


def dycoke_ttm(exact_count: bool = True, prune: float = 0.7) -> Restatement:
    """``dycole_ttm``, with the budget of docs/methods.md or the authors' count."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        T, H, W = video.shape
        P = H * W
        counts = _dycoke_counts(T, P, n_keep) if exact_count else _dycoke_own_counts(T, P, prune)
        if counts is None:
            return Expected(evenly(P, n_keep))
        kept: list[int] = []
        scores = np.full(T * P, np.nan)
        for t, count in enumerate(counts):
            frame = list(range(t * P, t * P + P))
            if count < P:
                lowest_bit = t & -t
                for i in frame:
                    scores[i] = -video.cosine(i - lowest_bit * P, i)
                frame = highest(scores, frame, count)
            kept += frame
        return Expected(kept, scores, [i // P for i in range(T * P)])

    return restate


def _dycoke_counts(T: int, P: int, n_keep: int) -> list[int] | None:
    """Tokens kept of each frame; None where not even one frame fits."""
    group = 4
    while True:
        whole = [t for t in range(T) if t % group == 0]
        if len(whole) * P <= n_keep:
            break
        if len(whole) == 1:
            return None
        group *= 2
    others = [t for t in range(T) if t % group]
    counts = [P] * T
    for t, share in zip(others, spread(n_keep - len(whole) * P, max(len(others), 1)), strict=False):
        counts[t] = share
    assert sum(counts) == n_keep and max(counts) <= P
    return counts


def _dycoke_own_counts(T: int, P: int, prune: float) -> list[int]:
    few = int((1 - prune) * P)
    counts = [P] * T
    for first in range(0, T - 1, 2):
        counts[first + 1] = few
    for first in range(0, T - 4, 4):
        counts[first + 2] = few
    return counts


def by_attention(layer: int) -> Restatement:
    """FastV: the visual tokens the last prompt token attends to most in one decoder layer."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        layers = video.signals["llm_attn_layers"].tolist()
        attention = video.signals["llm_attn_last"][layers.index(layer)]
        positions = video.signals["seq_index"]
        scores = np.array([float(attention[positions[row]]) for row in video.row_of])
        # Nothing is computed here: float32 attention is compared as it is, ties included.
        return Expected(highest(scores, list(range(video.n)), n_keep))

    return restate
