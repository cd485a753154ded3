"""Selectors beside their plain restatements, on the videos of parity_videos.py, and the comparison modulo near-ties.

A restatement is a function ``(video, n_keep, ratio) -> Expected`` of slow float64 code. The selectors accumulate in
float32, so two scores closer than ``NOISE`` may come out in either order. That, and nothing else, is excused; what was
excused is counted, and few of the videos may need it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from parity_videos import CASES, Case, Video, cases, cosine
from selection_oracles import Margin

from stgraph import VideoTokens, selector
from stgraph.errors import InputError

Array = np.ndarray[Any, Any]
NOISE = 1e-5

__all__ = [
    "CASES",
    "NOISE",
    "Case",
    "Expected",
    "Margin",
    "Outcome",
    "Refused",
    "Video",
    "cases",
    "compare",
    "cosine",
    "parity",
]


class Refused(Exception):
    """Raised by a restatement where the selector must raise an InputError."""


@dataclass
class Expected:
    """What a selection must be.

    Attributes
    ----------
    kept : the nodes
    scores : [N] what decided between a kept token and one that is not, or [N, m] all figures that did; NaN where no
        near-tie can excuse anything. None: no score decides
    groups : [N] tokens compete inside a group; None: all with all
    margin : the smallest non-zero distance of everything that decides more than one swap (thresholds, counts,
        assignments); below ``NOISE`` another outcome is excused
    matrix : [K, N] weights of a merging method, a row per kept node, ascending
    """

    kept: Iterable[int]
    scores: Any = None
    groups: Any = None
    margin: float = math.inf
    matrix: Array | None = None


@dataclass
class Outcome:
    """How the cases of one method went."""

    equal: int = 0
    swapped: int = 0
    excused: int = 0
    excused_cases: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


Restatement = Callable[[Video, int, Fraction], Expected]


def parity(
    name: str,
    restate: Restatement,
    *,
    on: Sequence[Case] | None = None,
    newlines_in: bool = False,
    fits_budget: bool | None = None,
    exact_ties: bool = True,
    max_excused: int = 0,
    max_swapped: int | None = None,
    **parameters: Any,
) -> Outcome:
    """Run selector and restatement on all cases and fail with the full list of differences.

    Parameters
    ----------
    newlines_in : the method treats newline tokens as tokens of their row
    fits_budget : exactly n_keep tokens are kept, and at r = 1 the selector returns all tokens as they are; None: unless
        ``exact_count=False``
    exact_ties : on videos whose scores are exact, ties must go to the smaller index; False for methods whose scores
        are rounded even there
    max_excused, max_swapped : how many cases may differ by near-ties (default for swaps: a tenth)
    **parameters : of the selector
    """
    outcome = Outcome()
    fits = parameters.get("exact_count", True) if fits_budget is None else fits_budget
    chosen_cases = list(CASES if on is None else on)
    for case in chosen_cases:
        tokens = case.tokens()
        video = case.video(newlines_in)
        n_keep, ratio = case.count(video.n), case.ratio(video.n)
        method = selector(name, **case.limits(), **parameters)
        try:
            expected = Expected(range(video.n)) if fits and n_keep == video.n else restate(video, n_keep, ratio)
        except Refused:
            expected = None
        try:
            if expected is None:
                with pytest.raises(InputError):
                    method.select(tokens)
                verdict = "equal"
            else:
                result = method.select(tokens)
                assert method.count(tokens.grid) == (len(result) if fits else None), "another count than announced"
                assert not fits or len(result) == n_keep, f"kept {len(result)} instead of {n_keep}"
                verdict = compare(expected, result, tokens, video, strict=exact_ties and case.exact)
        except (Exception, pytest.fail.Exception) as error:
            outcome.failures.append(f"{case}: {type(error).__name__}: {error}")
            continue
        setattr(outcome, verdict, getattr(outcome, verdict) + 1)
        if verdict == "excused":
            outcome.excused_cases.append(str(case))
    allowed = len(chosen_cases) // 10 if max_swapped is None else max_swapped
    assert not outcome.failures, f"{name} {parameters}: {len(outcome.failures)} of {len(chosen_cases)} differ\n" + (
        "\n".join(outcome.failures)
    )
    assert outcome.excused <= max_excused, f"{name} {parameters}: {outcome}"
    assert outcome.swapped <= allowed, f"{name} {parameters}: {outcome}"
    return outcome


def compare(expected: Expected, result: Any, tokens: VideoTokens, video: Video, strict: bool = False) -> str:
    """``"equal"``, ``"swapped"`` (near-ties went the other way) or ``"excused"`` (a threshold lay within the noise).

    Raises
    ------
    AssertionError
        a difference that noise does not explain
    """
    indices = result.indices
    assert indices.dtype == np.int64 and (np.diff(indices) > 0).all(), "indices are not ascending int64"
    assert result.scores.shape == indices.shape and np.isfinite(result.scores).all(), "scores are not finite"
    node_of = {int(row): node for node, row in enumerate(video.row_of)}
    assert set(indices.tolist()) <= set(node_of), "kept a token that does not count"
    got = {node_of[int(row)] for row in indices}
    want = {int(node) for node in expected.kept}
    excuse = not strict and expected.margin < NOISE
    if got != want:
        if not strict and swap_explains(expected, want - got, got - want):
            return "swapped"
        assert excuse, (
            f"kept {len(got)}, expected {len(want)}; missing {sorted(want - got)[:8]}, extra {sorted(got - want)[:8]}, "
            f"margin {expected.margin:.1e}"
        )
        return "excused"
    if expected.matrix is None:
        assert result.kind == "subset" and result.assignment is None and result.features is None, "merged something"
        return "equal"
    assert result.kind == "merge" and result.assignment is not None, "merged nothing"
    over_rows = result.assignment.toarray()
    matrix = over_rows[:, video.row_of]
    assert not np.delete(over_rows, video.row_of, axis=1).any(), "weights on tokens that do not count"
    if not np.allclose(matrix, expected.matrix, rtol=1e-4, atol=1e-6):
        at = np.argwhere(~np.isclose(matrix, expected.matrix, rtol=1e-4, atol=1e-6))
        row, column = at[0]
        assert excuse, (
            f"{len(at)} weights differ, first: node {sorted(want)[row]} from {column} has {matrix[row, column]:.6g}, "
            f"expected {expected.matrix[row, column]:.6g}; margin {expected.margin:.1e}"
        )
        return "excused"
    assert result.features.dtype == tokens.features.dtype, "the merged features have another dtype"
    merged = expected.matrix @ video.rows
    scale = np.abs(expected.matrix) @ np.abs(video.rows) + 1e-6
    off = np.abs(result.features.astype(np.float64) - merged) / scale
    bound = 2.0**-7 if tokens.dtype == "bfloat16" else 1e-5
    assert off.max() <= bound, f"merged features differ by {off.max():.1e} of their size"
    return "equal"


def swap_explains(expected: Expected, missing: set[int], extra: set[int]) -> bool:
    """Whether the tokens pair up inside their groups so that the figures of each pair differ by less than the noise."""
    if expected.scores is None or len(missing) != len(extra):
        return False
    figures = np.asarray(expected.scores, np.float64)
    figures = figures.reshape(figures.shape[0], -1)
    groups = np.zeros(len(figures)) if expected.groups is None else np.asarray(expected.groups)
    left = sorted(extra)
    for token in sorted(missing):
        bound = NOISE * np.maximum(1.0, np.abs(figures[token]))
        partners = [
            other
            for other in left
            if groups[other] == groups[token] and (np.abs(figures[other] - figures[token]) <= bound).all()
        ]  # a NaN is close to nothing
        if not partners:
            return False
        left.remove(partners[0])
    return True
