"""ST-SimDiff's published code and FrameFusion's first merge, restated plainly: loops and float64.

Each takes ``(video, n_keep, ratio)`` as :func:`parity_cases.parity` wants it. Newlines are nodes.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
from oracles_pruning import highest
from parity_cases import Expected, Margin, Refused, Restatement, Video

Array = np.ndarray[Any, Any]

LAYERS = 28


def shallow_attention(video: Video) -> Array:
    """[N] attention of the last prompt token in decoder layer 1; ``importance`` where the nodes are the patches."""
    T, H, W = video.shape
    given = video.signals.get("importance")
    if given is not None and given.shape == (T, H, W):
        return np.asarray(given, np.float64).reshape(-1)
    row = video.signals["llm_attn_layers"].tolist().index(1)
    attention = video.signals["llm_attn_last"][row]
    return np.array([float(attention[video.signals["seq_index"][i]]) for i in video.row_of])


def pruning_ratio(sparsity: list[float], cost: float) -> float:
    """``_compute_pruning_ratio``: what the layers left must drop, so that the mean over 28 layers is ``cost``."""
    left, spent = 1.0, 0.0
    for dropped in sparsity:
        left *= 1 - dropped
        spent += left
    remaining = LAYERS * cost - spent
    if remaining < 0:
        raise Refused("the cost is too small")
    share = remaining / ((LAYERS - len(sparsity)) * left)
    return 0 if share > 1 else 1 - share


def released(
    tau_sim: float = 0.8, tau_diff: float = 0.2, reduce: bool = True, importance: str = "attention"
) -> Restatement:
    """``SimDiff.forward`` of ``simdiff/new_topk.py`` (strategy 3), then its prune in decoder layer 1."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        margin, cost, n = Margin(), float(ratio), video.n
        drop_share = pruning_ratio([], cost)
        communities, events = _graph(video, tau_sim, tau_diff, margin)
        unit = _unit(video.rows)
        cohesion: list[float] = []
        central: list[Array] = []
        for members in communities:
            cosines = np.round(unit[members] @ unit[members].T, 12)
            size = len(members)
            mean = (float(cosines.sum()) - size) / (size - 1) / size
            cohesion.append(1.0 if abs(mean - 1) < 1e-6 else round(mean, 12))
            central.append(np.round(cosines.mean(axis=1), 12))  # so that equals on paper are equal
        # Two communities within the noise of each other may be visited in either order.
        order = sorted(range(len(communities)), key=lambda c: (-cohesion[c], communities[c][0]))
        dropped: set[int] = set()
        decided = np.full(n, np.nan)
        community_of = np.full(n, -1)
        for c, after in itertools.pairwise([*order, -1]):
            members, scores = communities[c], central[c]
            if after >= 0 and cohesion[c] < 1:
                margin.note(max(cohesion[c] - cohesion[after], 1e-12))
            k = math.ceil(len(members) * drop_share)
            if (len(dropped) + k) / n > drop_share:
                break
            ranked = sorted(range(len(members)), key=lambda i: (-scores[i], i))
            for i, token in enumerate(members):
                decided[token], community_of[token] = scores[i], c
            lowest = ranked[len(ranked) - k :]
            if 0 < k < len(members) and any(members[i] in events for i in range(len(members))):
                margin.note(scores[ranked[-k - 1]] - scores[ranked[-k]])  # how many are dropped may depend on who
            dropped |= {members[i] for i in lowest if members[i] not in events}
        survivors = [i for i in range(n) if i not in dropped]
        if not reduce:
            return Expected(survivors, decided, community_of, margin.value)
        p = pruning_ratio([len(dropped) / n] if communities else [], cost)
        n_last = round(len(survivors) * (1 - p))
        if n_last == 0:
            raise Refused("no token would be left")
        scores = shallow_attention(video)
        if dropped:  # who reaches the last cut was decided by centrality, so no swap is explained by attention alone
            margin.note(_least_gap(decided, community_of, dropped))
        return Expected(highest(scores, survivors, n_last), margin=margin.value)

    return restate


def _graph(video: Video, tau_sim: float, tau_diff: float, margin: Margin) -> tuple[list[list[int]], set[int]]:
    """Components with at least one edge, by smallest token; and the event tokens."""
    _, H, W = video.shape
    P = H * W
    group = np.arange(video.n)
    touched: set[int] = set()
    events: set[int] = set()

    def join(a: int, b: int) -> None:
        touched.update((a, b))
        old, new = max(group[a], group[b]), min(group[a], group[b])
        group[group == old] = new

    for i in range(video.n):
        t, y, x = i // P, i % P // W, i % W
        if t > 0:
            weight = video.cosine(i - P, i) if video.rows[i - P].any() and video.rows[i].any() else math.nan
            margin.note(weight - tau_sim)
            margin.note(weight - tau_diff)
            if weight >= tau_sim:
                join(i - P, i)
            if weight < tau_diff:
                events.add(i)
        for j in [i + 1] * (x + 1 < W) + [i + W] * (y + 1 < H):
            weight = video.cosine(i, j)
            margin.note(weight - tau_sim)
            if weight > tau_sim:
                join(i, j)
    firsts = sorted({int(group[i]) for i in touched})
    return [np.flatnonzero(group == first).tolist() for first in firsts], events


def _unit(rows: Array) -> Array:
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def _least_gap(decided: Array, community_of: Array, dropped: set[int]) -> float:
    """The smallest distance between a dropped and a kept token of one community."""
    least = math.inf
    for token in dropped:
        rivals = [i for i in np.flatnonzero(community_of == community_of[token]).tolist() if i not in dropped]
        for rival in rivals:
            least = min(least, max(abs(float(decided[token] - decided[rival])), 1e-12))
    return least


def temporal_edges(video: Video) -> list[tuple[int, float]]:
    """(later token, cosine to the same position one frame before), in token order."""
    _, H, W = video.shape
    return [(i, video.cosine(i - H * W, i)) for i in range(H * W, video.n)]


def framefusion(exact_count: bool = True, tau: float = 0.6) -> Restatement:
    """``FrameFusion.forward``'s first merge; ``exact_count=False`` by its threshold or its upper bound."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        margin = Margin()
        taken = _most_similar(video, video.n - n_keep, margin) if exact_count else _own_edges(video, ratio, tau, margin)
        runs = _runs(video, taken)
        heads = sorted(runs, key=lambda head: (-len(runs[head]), head))
        return _averaged(video, runs, sorted(heads[:n_keep] if exact_count else heads), margin)

    return restate


def framefusion_attention(tau: float = 0.6) -> Restatement:
    """The first merge by the authors' rule, its bound the very budget, then the survivors of most attention."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        margin = Margin()
        taken = _own_edges(video, Fraction(n_keep, video.n), tau, margin, video.n - n_keep)
        runs = _runs(video, taken)
        kept = highest(shallow_attention(video), sorted(runs), n_keep)
        return _averaged(video, runs, kept, margin)

    return restate


def _most_similar(video: Video, count: int, margin: Margin) -> set[int]:
    """The later tokens of the ``count`` most similar edges; all of them where there are fewer."""
    edges = sorted(temporal_edges(video), key=lambda edge: (-edge[1], edge[0]))
    if 0 < count < len(edges):
        margin.note(max(edges[count - 1][1] - edges[count][1], 1e-12))  # equals are equal only up to rounding
    return {token for token, _ in edges[:count]}


def _own_edges(video: Video, ratio: Fraction, tau: float, margin: Margin, most: int | None = None) -> set[int]:
    edges = temporal_edges(video)
    for _, weight in edges:
        margin.note(weight - tau)
    similar = {token for token, weight in edges if weight >= tau}
    bound = pruning_ratio([], float(ratio))
    if len(similar) / video.n < bound:
        return similar
    return _most_similar(video, int(bound * video.n) if most is None else most, margin)


def _runs(video: Video, taken: set[int]) -> dict[int, list[int]]:
    """Every token that is not merged away, with the tokens merged into it."""
    _, H, W = video.shape
    P = H * W
    runs: dict[int, list[int]] = {}
    head_of: dict[int, int] = {}
    for i in range(video.n):
        head_of[i] = head_of[i - P] if i in taken else i
        runs.setdefault(head_of[i], []).append(i)
    return runs


def _averaged(video: Video, runs: dict[int, list[int]], kept: list[int], margin: Margin) -> Expected:
    matrix = np.zeros((len(kept), video.n))
    for row, head in enumerate(kept):
        for member in runs[head]:
            matrix[row, member] = 1 / len(runs[head])
    return Expected(kept, margin=margin.value, matrix=matrix)
