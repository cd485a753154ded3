"""Confidence intervals of accuracies: bootstrap over whole videos, because questions about one video are correlated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isnan, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stgraph.aliases import Array
from stgraph.errors import InputError


class Interval(NamedTuple):
    """A mean and the ends of its interval, on the scale of the scores; the ends are NaN for a single video."""

    mean: float
    low: float
    high: float


def bootstrap_by_video(
    correct: ArrayLike,
    videos: Sequence[Any] | Array | None = None,
    *,
    seed: int = 0,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Mean over questions, with the percentile interval of a bootstrap that draws V of V videos with replacement.

    A drawn video brings all of its questions, so the mean of a draw is (sum of the drawn videos' scores) / (number of
    their questions). The same seed and number of videos give the same draws, whatever is measured: intervals of several
    configurations on the same questions move together. Videos are drawn by their place among the sorted names; the
    order of the questions is irrelevant.

    Parameters
    ----------
    correct : [V, ...] bool, int or float: one score per question, the first axis counts videos; or, with ``videos``,
        [Q]
    videos : [Q] the video of each question, by any name or number
    seed : of ``numpy.random.default_rng``
    n : number of draws
    level : share of the draws inside the interval

    Notes
    -----
    Like every percentile bootstrap, too narrow for few videos (below about 20), and of zero width if all videos score
    equally: see :func:`accuracy_by_video`.

    Raises
    ------
    InputError
        there are no questions, scores are not finite numbers, lengths differ, or a parameter is out of range

    Examples
    --------
    >>> bootstrap_by_video([1, 1, 0, 1], ["a", "a", "a", "b"])
    Interval(mean=0.75, low=0.666..., high=1.0)
    >>> bootstrap_by_video([[1, 0], [0, 1], [1, 0]])
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"n is {n!r}; it must be a number of draws, at least 1")
    if not 0 < level < 1:
        raise InputError(f"level is {level!r}; it must lie between 0 and 1, as 0.95 does")
    sums, sizes = _by_video(correct, videos)
    mean = float(sums.sum() / sizes.sum())
    if len(sums) == 1:
        return Interval(mean, float("nan"), float("nan"))
    drawn = _draws(len(sums), n, seed)
    means = (drawn @ sums) / (drawn @ sizes)
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return Interval(mean, float(low), float(high))


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    videos: Sequence[Any] | Array | None = None,
    *,
    seed: int = 0,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Mean of ``a - b`` over the same questions, with the interval of :func:`bootstrap_by_video`.

    Parameters
    ----------
    a, b : scores of two configurations, question by question: both [V, ...], or both [Q] with ``videos``
    videos, seed, n, level : see :func:`bootstrap_by_video`

    Raises
    ------
    InputError
        shapes differ; or see :func:`bootstrap_by_video`

    Examples
    --------
    >>> paired_difference([1, 1, 0], [1, 1, 0], ["a", "b", "b"])
    Interval(mean=0.0, low=0.0, high=0.0)
    """
    return bootstrap_by_video(_differences(a, b), videos, seed=seed, n=n, level=level)


def difference_p_value(
    a: ArrayLike, b: ArrayLike, videos: Sequence[Any] | Array | None = None, *, seed: int = 0, n: int = 20_000
) -> float:
    """Two-sided p-value of no difference over the same questions: the share of means drawn by
    :func:`bootstrap_by_video` at least as far from the observed mean as that is from 0, as (k + 1) / (n + 1).

    Parameters and errors are those of :func:`paired_difference`. The value is for a single test; see
    :func:`stgraph.multiplicity.holm` for several.

    Examples
    --------
    >>> difference_p_value([1, 0, 1, 0], [1, 0, 1, 0], ["a", "b", "c", "d"])
    1.0
    """
    sums, sizes = _by_video(_differences(a, b), videos)
    observed = sums.sum() / sizes.sum()
    drawn = _draws(len(sums), n, seed)
    means = (drawn @ sums) / (drawn @ sizes)
    far = np.count_nonzero(abs(means - observed) >= abs(observed) - 1e-12)  # sums in another order differ by rounding
    return float((far + 1) / (n + 1))


def accuracy_by_video(
    correct: ArrayLike,
    videos: Sequence[Any] | Array | None = None,
    *,
    seed: int = 0,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """:func:`bootstrap_by_video` of answers, 0 or 1; Wilson's interval if all are right or all are wrong.

    Draws of equal answers are all the same, so the bootstrap would claim certainty. Wilson's interval then counts one
    trial per video, as if all questions of a video had a single answer.

    Examples
    --------
    >>> accuracy_by_video([1, 1, 1, 1], ["a", "a", "b", "b"])
    Interval(mean=1.0, low=0.342..., high=1.0)
    """
    found = bootstrap_by_video(correct, videos, seed=seed, n=n, level=level)
    if found.mean not in (0.0, 1.0) or isnan(found.low):
        return found
    n_videos = len(_by_video(correct, videos)[0])
    return wilson(n_videos if found.mean else 0, n_videos, level=level)


def wilson(n_correct: int, n_questions: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval for ``n_correct`` of ``n_questions`` independent questions.

    Raises
    ------
    InputError
        there are no questions, or more right answers than questions

    Examples
    --------
    >>> wilson(5, 10)
    Interval(mean=0.5, low=0.236..., high=0.763...)
    """
    if not 0 <= n_correct <= n_questions or n_questions < 1:
        raise InputError(f"{n_correct} of {n_questions} questions are correct; give at least one question, and no more")
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    share, scale = n_correct / n_questions, 1 + z * z / n_questions
    centre = (share + z * z / (2 * n_questions)) / scale
    half = z * sqrt(share * (1 - share) / n_questions + (z / (2 * n_questions)) ** 2) / scale
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def _differences(a: ArrayLike, b: ArrayLike) -> Array:
    first, second = _scores(a), _scores(b)
    if first.shape != second.shape:
        raise InputError(f"a has shape {first.shape} and b {second.shape}; a pair needs the same questions in both")
    return first - second


def _scores(correct: ArrayLike) -> Array:
    try:
        scores = np.asarray(correct, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            "correct holds values that are not numbers; give 0 or 1 (or a score) for each question"
        ) from None
    if scores.ndim == 0 or scores.size == 0:
        raise InputError(f"correct has shape {scores.shape}; give the score of at least one question")
    if not np.isfinite(scores).all():
        raise InputError("correct holds NaN or infinity; leave out the questions that have no score")
    return scores


def _by_video(correct: ArrayLike, videos: Sequence[Any] | Array | None) -> tuple[Array, Array]:
    """Sum of scores and number of questions per video: [V] float64 each."""
    scores = _scores(correct)
    if videos is None:
        table = scores.reshape(len(scores), -1)
        return table.sum(axis=1), np.full(len(table), float(table.shape[1]))
    names = np.asarray(videos)
    if scores.ndim != 1 or names.shape != scores.shape:
        raise InputError(f"correct has shape {scores.shape} and videos {names.shape}; each question has one of both")
    _, video = np.unique(names, return_inverse=True)
    return np.bincount(video, weights=scores), np.bincount(video).astype(np.float64)


@lru_cache(maxsize=4)  # intervals come in tables, all of whose cells share the draws
def _draws(n_videos: int, n: int, seed: int) -> Array:
    """How often each draw takes each video: [n, V] float64."""
    taken = np.random.default_rng(seed).integers(n_videos, size=(n, n_videos))
    taken += np.arange(n)[:, None] * n_videos
    return np.bincount(taken.reshape(-1), minlength=n * n_videos).reshape(n, n_videos).astype(np.float64)
