"""V-CAST: the budget is split over frames by the curvature of the video's trajectory, and outlier tokens are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype, over_positive
from stgraph.errors import InputError
from stgraph.frame_work import each_frame, joined, stacked
from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, Method
from stgraph.selection.reasons import DIVERSITY
from stgraph.tokens import VideoTokens

_STILL = 1e-6  # shorter steps between unit vectors count as none


@dataclass(frozen=True, kw_only=True)
class VCast(Method):
    """V-CAST (arXiv 2603.27650; ``compressor/v_cast/modeling_qwen3_vl_v_cast.py``).

    With u_t the unit mean of frame t, the curvature c_t is 1 - cos(u_t - u_t-1, u_t+1 - u_t), and 1 at both ends.
    Frames share the budget by softmax(c / temperature), at least one token each if K >= T, the rest by largest
    remainder. Each frame keeps the tokens with the largest 1 - cos(x, u_t) + norm, norms scaled to [0, 1] over the
    frame. Scores are these sums.

    Attributes
    ----------
    temperature : of the softmax, above 0; larger values share more evenly
    """

    temperature: float = 0.7

    name: ClassVar[str] = "vcast"
    paper: ClassVar[str] = "V-CAST, arXiv 2603.27650"
    on_gpu: ClassVar[bool] = True

    def __post_init__(self) -> None:
        value = self.temperature
        number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if not number or not 0 < value < np.inf:
            raise InputError(f"temperature is {value!r}; it must be a finite number above 0")

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Outliers of each frame, more of them where the video's trajectory turns."""
        from stgraph.kernels.cpu.top import top_of_groups

        T, P = tokens.grid.T, tokens.grid.H * tokens.grid.W
        frames = each_frame(tokens.lattice, lambda t: _frame(tokens.lattice[t].reshape(P, -1)))
        curvature = curvatures(stacked([centre for centre, _ in frames]))
        counts = frame_counts(curvature, self.temperature, n_keep, P)
        scores = joined([score for _, score in frames])
        kept = top_of_groups(scores, np.arange(T * P, dtype=np.int32), np.arange(T + 1) * P, counts)
        nodes = np.flatnonzero(kept)
        report = {
            "largest_curvature": float(curvature.max()),
            "fewest_in_a_frame": int(counts.min()),
            "most_in_a_frame": int(counts.max()),
        }
        return Choice(nodes, DIVERSITY, scores[nodes], report=report)


def _frame(x: Any) -> tuple[Any, Any]:
    """The unit mean of a frame's tokens ([P, d]), [d], and each token's score, [P]; in float64, where they lie."""
    wide = astype(x, "float64")
    norms = (wide * wide).sum(axis=1) ** 0.5
    centre = wide.mean(axis=0)
    centre = over_positive(centre, ((centre * centre).sum() ** 0.5).reshape(1))
    cosine = over_positive((wide * centre).sum(axis=1), norms)
    lowest = norms.min()
    return centre, 1 - cosine + over_positive(norms - lowest, (norms.max() - lowest).reshape(1))


def curvatures(centres: Array) -> Array:
    """[T]: 1 - cosine of the step before to the step after each of the unit vectors ``centres`` ([T, d]); 1 at both
    ends and where either step is zero.

    Examples
    --------
    >>> curvatures(np.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])).tolist()
    [1.0, 2.0, 1.0]
    """
    steps = np.diff(centres, axis=0)
    lengths = np.sqrt((steps * steps).sum(axis=1))
    moving = lengths > _STILL
    products, scale = (steps[:-1] * steps[1:]).sum(axis=1), lengths[:-1] * lengths[1:]
    cosine = np.divide(products, scale, out=np.zeros_like(products), where=moving[:-1] & moving[1:])
    curvature = np.ones(len(centres))
    curvature[1:-1] -= np.clip(cosine, -1, 1)
    return curvature


def frame_counts(curvature: Array, temperature: float, n_keep: int, P: int) -> Array:
    """[T] int64, at most P each, ``n_keep`` in all: floor shares of softmax(curvature / temperature); the rest goes by
    largest remainder, ties to the earlier frame, to frames that are not full.

    Examples
    --------
    >>> frame_counts(np.array([1.0, 2.0, 1.0]), 0.7, 10, 100).tolist()
    [2, 6, 2]
    """
    weights = np.exp((curvature - curvature.max()) / temperature)
    weights /= weights.sum()
    least = int(n_keep >= curvature.size)
    wanted = weights * (n_keep - least * curvature.size)
    counts: Array = np.minimum(least + np.floor(wanted), P).astype(np.int64)
    order = np.argsort(np.floor(wanted) - wanted, kind="stable")
    left = n_keep - int(counts.sum())
    while left:
        open_frames = order[counts[order] < P][:left]
        counts[open_frames] += 1
        left -= open_frames.size
    return counts
