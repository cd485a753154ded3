"""Holm's correction, and the p-values it is fed with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgraph.bench.intervals import bootstrap_by_video, difference_p_value, paired_difference
from stgraph.errors import InputError
from stgraph.multiplicity import holm


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.001, 0.5))
def test_holm_rejects_what_its_steps_reject(p_values: list[float], alpha: float) -> None:
    adjusted = holm(p_values)
    left, rejected = sorted(range(len(p_values)), key=lambda i: p_values[i]), set()
    while left and len(left) * p_values[left[0]] <= alpha:
        rejected.add(left.pop(0))
    assert {i for i, p in enumerate(adjusted) if p <= alpha} == rejected
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))


def test_what_is_no_p_value() -> None:
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="must be a number from 0 to 1"):
            holm([0.5, wrong])


def test_p_value_and_interval_agree() -> None:
    rng = np.random.default_rng(0)
    a = rng.random((120, 6))
    for shift in (0.0, 0.01, 0.02, 0.03, 0.05, 0.2):
        b = a - shift + 0.2 * rng.standard_normal(a.shape)
        found, p = paired_difference(a, b), difference_p_value(a, b)
        assert (p < 0.03) <= (found.low > 0 or found.high < 0) <= (p < 0.08)
    assert difference_p_value(a, a) == 1.0
    assert difference_p_value(a, a - 1.0) == 1 / 20_001


def test_p_values_without_a_difference_are_uniform() -> None:
    rng = np.random.default_rng(1)
    found = [difference_p_value(rng.random((80, 1)), rng.random((80, 1)), n=500) for _ in range(300)]
    assert [np.mean(np.array(found) <= level) for level in (0.1, 0.5)] == pytest.approx([0.1, 0.5], abs=0.07)


def test_p_value_is_of_whole_videos() -> None:
    """Ten copies of a question make no video surer."""
    a = np.random.default_rng(2).random((40, 1))
    b = a - 0.05 + 0.2 * np.random.default_rng(3).standard_normal(a.shape)
    assert difference_p_value(np.repeat(a, 10, 1), np.repeat(b, 10, 1)) == difference_p_value(a, b)
    names = np.repeat(np.arange(40), 10)
    flat = difference_p_value(np.repeat(a, 10, 1).ravel(), np.repeat(b, 10, 1).ravel(), names)
    assert flat == difference_p_value(a, b)
    with pytest.raises(InputError, match="a pair needs the same questions"):
        difference_p_value(a, b[:5])
    assert bootstrap_by_video(a - b).low is not None
