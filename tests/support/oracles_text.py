"""Methods that read the prompt's text or the LLM's states, restated plainly: CDPruner and DART."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from oracles_encoder import signal
from oracles_merging import cosines
from oracles_pruning import spread
from parity_cases import Expected, Margin, Restatement, Video

Array = np.ndarray[Any, Any]


def relevance_of(x: Array, text: Array, sign: float) -> Array:
    """Mean cosine to the text, from 0 to 1."""
    mean = np.array([sign * sum(row) / len(text) for row in cosines(x, text)])
    low, high = mean.min(), mean.max()
    return (mean - low + 1e-6) / (high - low) if high - low >= 1e-6 else np.ones(len(x))


def determinant_picks(x: Array, quality: Array, count: int, margin: Margin) -> list[int]:
    """Greedy by ratios of determinants, from the conditional variance of each candidate."""
    kernel = quality[:, None] * cosines(x, x) * quality[None, :]
    chosen: list[int] = []
    first = None
    for _ in range(count):
        gains = {}
        for i in range(len(x)):
            if i in chosen:
                continue
            gain = kernel[i, i]
            if chosen:
                inside = kernel[np.ix_(chosen, chosen)]
                gain -= kernel[i, chosen] @ np.linalg.solve(inside, kernel[chosen, i])
            gains[i] = float(gain)
        top = max(gains.values())
        first = top if first is None else first
        noise = 1e-9 * (first or 1)
        best = min(i for i in gains if gains[i] >= top - noise)
        others = [value for i, value in gains.items() if i != best and value < top - noise]
        if others:
            margin.note((top - max(others)) / (first or 1))
        margin.note((top - 1e-6 * first) / (first or 1)) if top > noise else None
        if top <= 1e-6 * first:
            rest = sorted((i for i in range(len(x)) if i not in chosen), key=lambda i: (-round(quality[i], 12), i))
            return chosen + rest[: count - len(chosen)]
        chosen.append(best)
    return chosen


def cdpruner(scope: str = "frame", theta: float | None = None, relevance: str = "text") -> Restatement:
    """``DPP`` with relevance from the LLM's space or CLIP's."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        T, H, W = video.shape
        P, margin = H * W, Margin()
        if relevance == "text":
            values = relevance_of(video.rows, np.asarray(video.signals["text_embeds"], np.float64), 1.0)
        else:
            text = np.asarray(video.signals["text_joint"], np.float64)
            values = relevance_of(signal(video, "clip_joint").reshape(video.n, -1), text, -1.0)
        quality = values if theta is None else np.exp(theta / (2 * (1 - theta)) * values)
        kept: list[int] = []
        if scope == "frame":
            for t, count in enumerate(spread(n_keep, T)):
                mine = slice(t * P, (t + 1) * P)
                kept += [t * P + i for i in determinant_picks(video.rows[mine], quality[mine], count, margin)]
        else:
            kept = determinant_picks(video.rows, quality, n_keep, margin)
        return Expected(kept, margin=margin.value)

    return restate


def pivots_of(norms: Array, count: int) -> list[int]:
    return sorted(range(len(norms)), key=lambda i: (-norms[i], i))[:count]


def dart(pivots: int = 4, text_pivots: int = 4, states: bool = False) -> Restatement:
    """The loop of ``get_retained_image_token``, pivots by norm, K spread over them."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        margin = Margin()
        if states:
            hidden = np.asarray(video.signals["llm_hidden"][-1], np.float64)
            keys = np.asarray(video.signals["llm_keys"][-1], np.float64)
            norms = np.array([sum(float(np.abs(head[i]).sum()) for head in keys) for i in range(len(hidden))])
            at = [int(video.signals["seq_index"][row]) for row in video.row_of]
            after = range(max(video.signals["seq_index"].tolist()) + 1, len(hidden))
            x, x_norms = hidden[at], norms[at]
            text, text_norms = hidden[list(after)], norms[list(after)]
        else:
            x = video.rows
            text = np.asarray(video.signals["text_embeds"], np.float64)
            x_norms, text_norms = np.abs(x).sum(axis=1), np.abs(text).sum(axis=1)
        mine = pivots_of(x_norms, min(pivots, n_keep))
        theirs = pivots_of(text_norms, text_pivots)
        pool = [i for i in range(video.n) if i not in mine]
        kept = list(mine)
        directions = [x[i] for i in mine] + [text[i] for i in theirs]
        left = n_keep - len(mine)
        for place, direction in enumerate(directions):
            count = math.ceil(left / (len(directions) - place))
            alike = np.round(cosines(x, direction[None])[:, 0], 12)
            order = sorted(pool, key=lambda i: (alike[i], i))
            if 0 < count < len(order):
                margin.note(alike[order[count - 1]] - alike[order[count]])
            kept += order[:count]
            pool = [i for i in pool if i not in kept]
            left -= count
        return Expected(kept, margin=margin.value)

    return restate
