"""Intervals by video: known cases, and what no order or labelling may change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stgraph.bench.intervals import accuracy_by_video, bootstrap_by_video, paired_difference, wilson
from stgraph.errors import InputError


def clustered(rng, n_videos=60, n_questions=8, mean=0.6, spread=4.0):
    """[V, K] 0 or 1: each video has an accuracy of its own, drawn from a beta distribution of that mean."""
    own = rng.beta(mean * spread, (1 - mean) * spread, size=(n_videos, 1))
    return (rng.random((n_videos, n_questions)) < own).astype(int)


def test_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(7)
    n_covered = n_covered_by_questions = 0
    for _ in range(800):
        correct = clustered(rng)
        _, low, high = bootstrap_by_video(correct, n=500)
        n_covered += low <= 0.6 <= high
        _, low, high = wilson(int(correct.sum()), correct.size)
        n_covered_by_questions += low <= 0.6 <= high
    assert 0.91 <= n_covered / 800 <= 0.97
    assert n_covered_by_questions / 800 < 0.88  # what clustering by video is for


def test_interval_equals_a_plain_loop_over_drawn_videos():
    correct = clustered(np.random.default_rng(3), n_videos=7, n_questions=3)
    draws = np.random.default_rng(5).integers(7, size=(300, 7))
    means = [np.mean([correct[video] for video in draw]) for draw in draws]
    expected = (correct.mean(), *np.quantile(means, (0.025, 0.975)))
    assert bootstrap_by_video(correct, seed=5, n=300) == pytest.approx(expected)


def test_order_of_questions_and_form_of_the_input_play_no_part():
    rng = np.random.default_rng(0)
    correct = clustered(rng, n_videos=12, n_questions=5)
    videos = np.repeat(np.arange(12), 5)
    order = rng.permutation(60)
    by_name = [f"clip{video:02d}" for video in videos[order]]
    as_table = bootstrap_by_video(correct, seed=2)
    assert as_table == bootstrap_by_video(correct.reshape(-1), videos, seed=2)
    assert as_table == bootstrap_by_video(correct.reshape(-1)[order], by_name, seed=2)
    assert as_table == bootstrap_by_video(correct.reshape(12, 5, 1), seed=2)
    assert as_table != bootstrap_by_video(correct, seed=3)


def test_videos_with_more_questions_weigh_more():
    interval = bootstrap_by_video([1, 1, 1, 0], ["a", "a", "a", "b"])
    assert interval == (0.75, 0.0, 1.0)


def test_paired_difference_is_exactly_zero_between_equals_and_tighter_than_the_parts():
    rng = np.random.default_rng(1)
    correct = clustered(rng)
    assert paired_difference(correct, correct) == (0.0, 0.0, 0.0)
    worse = correct * (rng.random(correct.shape) < 0.9)
    mean, low, high = paired_difference(correct, worse)
    alone = bootstrap_by_video(correct)
    assert mean == pytest.approx(correct.mean() - worse.mean())
    assert 0 < low < mean < high
    assert high - low < alone.high - alone.low
    opposite = paired_difference(worse, correct)
    assert opposite == pytest.approx((-mean, -high, -low))


def test_one_video_has_a_mean_but_no_interval():
    mean, low, high = bootstrap_by_video([1, 0], ["a", "a"])
    assert mean == 0.5
    assert math.isnan(low)
    assert math.isnan(high)
    assert math.isnan(accuracy_by_video([1, 1], ["a", "a"]).low)


@pytest.mark.parametrize("value", [0, 1])
def test_equal_answers_are_not_certainty(value):
    correct, videos = [value] * 30, np.repeat(np.arange(10), 3)
    assert bootstrap_by_video(correct, videos) == (value, value, value)
    assert accuracy_by_video(correct, videos) == wilson(10 * value, 10)
    assert accuracy_by_video(correct, videos).low < accuracy_by_video(correct, videos).high


def test_accuracy_by_video_is_the_bootstrap_where_answers_differ():
    correct = clustered(np.random.default_rng(4), n_videos=9)
    assert accuracy_by_video(correct, seed=1) == bootstrap_by_video(correct, seed=1)


def test_wilson_agrees_with_the_printed_formula():
    z, p, n = 1.959964, 0.3, 20
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson(6, 20) == pytest.approx((p, centre - half, centre + half), abs=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_by_video([]), "at least one question"),
        (lambda: bootstrap_by_video(1.0), "at least one question"),
        (lambda: bootstrap_by_video(["yes"]), "not numbers"),
        (lambda: bootstrap_by_video([1, float("nan")]), "leave out the questions that have no score"),
        (lambda: bootstrap_by_video([1, 0], ["a"]), "each question has one of both"),
        (lambda: bootstrap_by_video([[1, 0]], ["a"]), "each question has one of both"),
        (lambda: bootstrap_by_video([1, 0], n=0), "n is 0"),
        (lambda: bootstrap_by_video([1, 0], level=95), "level is 95"),
        (lambda: paired_difference([1, 0], [1]), "the same questions in both"),
        (lambda: wilson(3, 2), "3 of 2"),
    ],
)
def test_bad_input_is_refused_with_the_remedy(call, message):
    with pytest.raises(InputError, match=message):
        call()
