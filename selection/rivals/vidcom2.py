"""VidCom2: the tokens least similar to the mean of their frame and of the video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.kernels import kernels_for
from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, FittedMethod, approximate
from stgraph.selection.reasons import DIVERSITY
from stgraph.tokens import VideoTokens

WIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0)  # a of the Gaussian kernels exp(-|x - c|^2 / 2a)
TEMPERATURE = 0.01


@dataclass(frozen=True, kw_only=True)
class VidCom2(FittedMethod):
    """VidCom2 (EMNLP 2025, arXiv 2505.14454; ``token_compressor/vidcom2/vidcom2.py``): unique tokens of unique frames.

    On the half of the channels that vary least, unit features are compared with the video's mean and with their frame's
    mean by a sum of Gaussian kernels, v and f; the smaller v + f, the more unique the token. Frames with a small mean v
    get a larger part of the budget. Scores are the uniqueness -(v + f), from -10 to 0.

    Attributes
    ----------
    exact_count : False keeps the sum of the frames' parts, at least one token per frame, as the authors' code does
    """

    name: ClassVar[str] = "vidcom2"
    paper: ClassVar[str] = "VidCom2, EMNLP 2025"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The most unique tokens of each frame, fitted to ``n_keep`` over the whole video."""
        from stgraph.kernels.cpu.top import top_of, top_of_groups

        x, (T, H, W) = tokens.lattice, tokens.grid.shape
        channels = lowest_half(to_host(kernels_for(x, "channel_variance").channel_variances(x)))
        to_frame, to_video = map(to_host, kernels_for(x, "centre_distances").centre_distances(x, channels))
        v = gaussians(to_video)
        uniqueness = -(v + gaussians(to_frame)).reshape(-1)
        counts = frame_counts(v.reshape(T, H * W).mean(axis=1), float(budget.ratio(tokens.grid)), H * W)
        kept = top_of_groups(uniqueness, np.arange(T * H * W, dtype=np.int32), np.arange(T + 1) * (H * W), counts)
        n_unfitted = int(counts.sum())
        if self.exact_count and n_unfitted > n_keep:
            kept = top_of(uniqueness, np.flatnonzero(kept), n_keep)
        elif self.exact_count and n_unfitted < n_keep:
            kept |= top_of(uniqueness, np.flatnonzero(~kept), n_keep - n_unfitted)
        nodes = np.flatnonzero(kept)
        report = {
            "n_unfitted": n_unfitted,
            "fewest_in_a_frame": int(counts.min()),
            "most_in_a_frame": int(counts.max()),
        }
        change = nodes.size - n_unfitted
        how = "most like the rest dropped" if change < 0 else "least like the rest added"
        fitted = [f"{abs(change):,} tokens {how} to meet the budget"] if change else []
        return Choice(nodes, DIVERSITY, uniqueness[nodes], exactness=approximate(*fitted), report=report)


def lowest_half(variances: Array) -> Array:
    """[d] bool: the d // 2 channels with the lowest variance, ties to the smaller channel.

    Examples
    --------
    >>> lowest_half(np.array([3.0, 1.0, 2.0, 1.0])).tolist()
    [False, True, False, True]
    """
    lowest = np.zeros(variances.size, np.bool_)
    lowest[np.argsort(variances, kind="stable")[: variances.size // 2]] = True
    return lowest


def gaussians(squared_distances: Array) -> Array:
    """Sum over the widths a of exp(-D / 2a), in float64."""
    wide = squared_distances.astype(np.float64)
    total: Array = np.sum([np.exp(wide / (-2 * a)) for a in WIDTHS], axis=0)
    return total


def frame_counts(likeness: Array, ratio: float, P: int) -> Array:
    """[T] int64: round(P r (1 + p - mean p)) tokens per frame, half to even, from 1 to P.

    Parameters
    ----------
    likeness : [T] mean v of each frame; p is the softmax of -likeness at temperature 0.01
    ratio : r
    P : tokens per frame

    Examples
    --------
    >>> frame_counts(np.array([1.0, 1.0, 0.9]), 0.25, 100).tolist()
    [17, 17, 42]
    """
    p = np.exp((likeness.min() - likeness) / TEMPERATURE)
    p /= p.sum()
    scales = np.minimum(ratio * (1 + p - 1 / p.size), 1.0)
    counts: Array = np.maximum(np.round(scales * P), 1).astype(np.int64)
    return counts
