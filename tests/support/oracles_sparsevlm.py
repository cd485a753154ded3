"""SparseVLM restated plainly: one list of merged tokens, cut behind one layer after the other."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from oracles_pruning import highest
from oracles_segments import density_peaks, distances
from parity_cases import Expected, Margin, Restatement, Video

Array = np.ndarray[Any, Any]
Token = dict[int, float]
"""Share of each node in a token; the first node is where it stands."""


def raters_of(video: Video) -> list[int]:
    """``m_v_t = (v_t @ t_t.T).softmax(2).mean(1)`` above its mean."""
    text = np.asarray(video.signals["text_embeds"], np.float64)
    shares = np.zeros(len(text))
    for x in video.rows:
        products = [float(x @ t) for t in text]
        powers = [math.exp(p - max(products)) for p in products]
        shares += np.array(powers) / sum(powers)
    mean = shares.sum() / len(text)
    return [j for j in range(len(text)) if shares[j] > mean + 1e-9 * mean] or list(range(len(text)))


def clusters_of(dropped: int) -> int:
    """``cluster_num`` of so many tokens that go."""
    chosen = int(dropped * 0.3) + 1
    return int(chosen / 10) + 1 if dropped else 0


def merged(points: Array, count: int, margin: Margin) -> list[list[int]]:
    """``cluster_and_merge``: the centre first in each cluster."""
    scores = density_peaks(points, count, margin)
    order = sorted(range(len(points)), key=lambda i: (-scores[i], i))
    if count < len(points):
        margin.note((scores[order[count - 1]] - scores[order[count]]) / (scores[order[0]] or 1))
    centres = sorted(order[:count])
    table = np.round(distances(points), 12)
    found = {c: [c] for c in centres}
    for i in range(len(points)):
        if i not in found:
            ranked = sorted((float(table[i, c]), c) for c in centres)
            if len(ranked) > 1:
                margin.note(ranked[1][0] - ranked[0][0])
            found[ranked[0][1]].append(i)
    return list(found.values())


def sparsevlm(
    table: tuple[int, ...],
    signal: str,
    recycle: bool,
    layers: tuple[int, ...] = (2, 6, 15),
    exact_count: bool = True,
    adaptive: bool = False,
) -> Restatement:
    """``LlamaDynamicvitModel.forward`` with ``attn_postprocess_topk``, or ``attn_postprocess_rank``."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        margin = Margin()
        raters = raters_of(video)
        tokens: list[Token] = [{i: 1.0} for i in range(video.n)]
        score: list[float] = []
        for place, layer in enumerate(layers):
            at = video.signals["llm_attn_layers"].tolist().index(layer)
            values = [video.signals[signal][at, j] for j in raters]
            seen = [[float(row[video.signals["seq_index"][r]]) for r in video.row_of] for row in values]
            rows = [[sum(share * row[i] for i, share in token.items()) for token in tokens] for row in seen]
            n = len(tokens)
            score = [sum(row[i] for row in rows) / len(rows) for i in range(n)]
            means = None
            if adaptive:
                stay = max(1, int(np.linalg.matrix_rank(np.array(rows, np.float32))))
            elif not exact_count:
                stay = max(1, min(table[place] * video.n // 576, n - 1))
            elif place < len(layers) - 1:
                stay = math.ceil(Fraction(n_keep * table[place], table[-1]))
            else:
                able = [k for k in range(n_keep + 1) if k + (clusters_of(n - k) if recycle else 0) <= n_keep]
                stay = max(able, default=0)
                means = n_keep - stay if recycle else None
            if stay >= n:
                continue
            kept = highest(score, list(range(n)), stay)
            gone = [i for i in range(n) if i not in kept]
            new = [tokens[i] for i in kept]
            values_kept = [score[i] for i in kept]
            if recycle:
                best = highest(score, gone, int(len(gone) * 0.3) + 1)
                points = np.array([sum(s * video.rows[i] for i, s in tokens[b].items()) for b in best])
                count = clusters_of(len(gone)) if means is None else means
                for cluster in merged(points, count, margin) if count else []:
                    mean: Token = {}
                    for member in cluster:
                        for i, share in tokens[best[member]].items():
                            mean[i] = mean.get(i, 0.0) + share / len(cluster)
                    new.append(mean)
                    values_kept.append(sum(score[best[m]] for m in cluster) / len(cluster))
            order = sorted(range(len(new)), key=lambda i: next(iter(new[i])))
            tokens = [new[i] for i in order]
            score = [values_kept[i] for i in order]
        kept = [next(iter(token)) for token in tokens]
        if all(len(token) == 1 for token in tokens):
            return Expected(kept, margin=margin.value)
        matrix = np.zeros((len(tokens), video.n))
        for row, token in zip(matrix, tokens, strict=True):
            for i, share in token.items():
                row[i] = share
        return Expected(kept, margin=margin.value, matrix=matrix)

    return restate
