"""Summary of a task's rows: accuracy by configuration and by question family."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from statistics import fmean
from typing import Any

import numpy as np

from stgraph.bench.answers.plan import FULL
from stgraph.bench.intervals import Interval, accuracy_by_video, paired_difference
from stgraph.bench.tables.table import Row
from stgraph.errors import InputError

CONFIGURATION = ("selector", "backend", "split", "parameters", "retain_ratio", "frames", "fps", "dtype", "pooling")
_MEANS = ("n_visual", "n_kept", "p_letters", "prefill_tflop", "select_s", "probe_s", "total_s")


def summarise(rows: Sequence[Row], *, seed: int = 0, n: int = 2000) -> list[Row]:
    """One row per configuration, in order of appearance.

    Intervals are at 95 %, by a bootstrap over videos. Failed rows are counted, and otherwise ignored. The difference is
    paired: from "full", or else from the first configuration, over the questions both answered.

    Parameters
    ----------
    rows : see :data:`stgraph.bench.tables.experiments.ANSWERS`
    seed, n : of the bootstrap

    Returns
    -------
    list of Row
        the configuration's columns; answered ``n_questions`` and ``n_videos``, and ``n_failed``; ``accuracy`` with
        ``low`` and ``high``; ``difference`` from ``against`` with its ends; ``chance``, the mean of 1 / options; means
        of ``n_visual``, ``n_kept``, ``p_letters``, ``prefill_tflop`` and the seconds; None for unknown values
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in CONFIGURATION), []).append(row)
    answered = {key: [row for row in group if row["error"] is None] for key, group in groups.items()}
    against = next((key for key in groups if key[0] == FULL), next(iter(groups), ()))
    return [
        {
            **dict(zip(CONFIGURATION, key, strict=True)),
            "n_failed": len(groups[key]) - len(found),
            **_figures(found, seed, n),
            **_difference(found, answered[against] if key != against else [], seed, n),
            "against": None if key == against else against[0],
        }
        for key, found in answered.items()
    ]


def by_family(rows: Sequence[Row], *, seed: int = 0, n: int = 2000) -> list[Row]:
    """:func:`summarise` for each family of questions, with the column ``family``; empty if no question has a family."""
    families = dict.fromkeys(row["family"] for row in rows if row["family"] is not None)
    return [
        {"family": family, **found}
        for family in families
        for found in summarise([row for row in rows if row["family"] == family], seed=seed, n=n)
    ]


def accuracy_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows with an accuracy: unchanged, or, for ``stgraph eval --model`` with its one row per question, summarised.

    The summary has the columns ``accuracy``, ``accuracy_low`` and ``accuracy_high``, and the same for every family of
    questions.

    Raises
    ------
    InputError
        rows of questions lack columns
    """
    if "correct" not in rows[0]:
        return list(rows)
    for name in (*CONFIGURATION, "video", "digest", "family", "n_options", "error", *_MEANS):
        if name not in rows[0]:
            raise InputError(f"the rows lack the column {name!r}; give a file of stgraph eval as it was written")
    for i, row in enumerate(rows, 1):
        known = all(row[name] is not None for name in ("video", "digest", "correct"))
        if row["error"] is None and not (known and (row["n_options"] or 0) >= 1):
            raise InputError(f"row {i} has neither answer nor error; give a file of stgraph eval as it was written")
    whole = {tuple(one[name] for name in CONFIGURATION): one for one in summarise(rows)}
    for one in whole.values():
        one |= {"accuracy_low": one["low"], "accuracy_high": one["high"]}
    for one in by_family(rows):
        family, target = str(one["family"]), whole[tuple(one[name] for name in CONFIGURATION)]
        target |= {family: one["accuracy"], f"{family}_low": one["low"], f"{family}_high": one["high"]}
    return list(whole.values())


def _figures(rows: Sequence[Row], seed: int, n: int) -> Row:
    figures: Row = {"n_questions": len(rows), "n_videos": len({row["video"] for row in rows})}
    interval = None
    if rows:
        interval = accuracy_by_video([row["correct"] for row in rows], [row["video"] for row in rows], seed=seed, n=n)
    figures |= _named(interval, "accuracy", "low", "high")
    figures["chance"] = fmean(1 / row["n_options"] for row in rows) if rows else None
    for name in _MEANS:
        values = [row[name] for row in rows if row[name] is not None]
        figures[name] = fmean(values) if values else None
    return figures


def _difference(rows: Sequence[Row], others: Sequence[Row], seed: int, n: int) -> Row:
    there = {row["digest"]: row["correct"] for row in others}
    both = [row for row in rows if row["digest"] in there]
    interval = None
    if both:
        a, b = [row["correct"] for row in both], [there[row["digest"]] for row in both]
        interval = paired_difference(a, b, [row["video"] for row in both], seed=seed, n=n)
    return _named(interval, "difference", "difference_low", "difference_high")


def _named(interval: Interval | None, *names: str) -> Row:
    """The three numbers by name; None if unknown."""
    values = (np.nan,) * 3 if interval is None else interval
    return {name: None if isnan(value) else value for name, value in zip(names, values, strict=True)}
