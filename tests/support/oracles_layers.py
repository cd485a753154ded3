"""Methods that cut tokens in several layers of the LLM, restated plainly."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from oracles_pruning import highest
from parity_cases import Expected, Restatement, Video

Array = np.ndarray[Any, Any]


def values_at(video: Video, values: Array) -> list[float]:
    """Of a signal [seq], at the nodes."""
    return [float(values[video.signals["seq_index"][row]]) for row in video.row_of]


def row_of_layer(video: Video, name: str, layer: int) -> list[float]:
    """Of a signal [saved, seq], in one layer, at the nodes."""
    return values_at(video, video.signals[name][video.signals["llm_attn_layers"].tolist().index(layer)])


def pyramiddrop(layers: tuple[int, ...] = (8, 16, 24), ratios: tuple[float, ...] = (0.5, 0.25, 0.125)) -> Restatement:
    """``pdrop_rank_drop`` in each layer, the counts scaled so that the last is K."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        left = list(range(video.n))
        for layer, share in zip(layers, ratios, strict=True):
            count = min(video.n, math.ceil(n_keep * Fraction(str(share)) / Fraction(str(ratios[-1]))))
            left = highest(row_of_layer(video, "llm_attn_last", layer), left, count)
        return Expected(left)

    return restate


def fitprune(deletions: dict[int, int], exact_count: bool = True) -> Restatement:
    """``LlamaAttention`` of the release: a stable ascending sort of the product, of which the first tokens go."""

    def restate(video: Video, n_keep: int, ratio: Fraction) -> Expected:
        layers = sorted(deletions)
        total = sum(deletions.values())
        if exact_count:
            exact = {layer: Fraction((video.n - n_keep) * deletions[layer], total) for layer in layers}
            gone = {layer: math.floor(value) for layer, value in exact.items()}
            by_rest = sorted(layers, key=lambda layer: (gone[layer] - exact[layer], layer))
            for layer in by_rest[: video.n - n_keep - sum(gone.values())]:
                gone[layer] += 1
        else:
            gone = {layer: deletions[layer] * video.n // 576 for layer in layers}
        left = list(range(video.n))
        for layer in layers:
            cross = row_of_layer(video, "llm_attn_text_sum", layer)
            own = row_of_layer(video, "llm_attn_visual_mean", layer)
            ascending = sorted(left, key=lambda i: (cross[i] * own[i], -i))
            left = sorted(ascending[min(gone[layer], len(left) - 1) :])
        return Expected(left)

    return restate
