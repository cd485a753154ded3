"""Evaluation: multiple-choice questions about videos, answered by a real model under every trial of a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from stgraph.aliases import Progress
from stgraph.bench.answers.answers import Asked, answers, ready_model
from stgraph.bench.answers.plan import TaskPlan
from stgraph.bench.answers.prompts import Clip
from stgraph.bench.answers.questions import Question
from stgraph.bench.answers.rows import TaskRows
from stgraph.bench.tables.table import Row
from stgraph.errors import InputError
from stgraph.vlm.checkpoint import Checkpoint


def run(
    plan: TaskPlan,
    questions: Sequence[Question],
    load: Callable[[], Checkpoint],
    store: TaskRows,
    progress: Progress | None = None,
) -> list[Row]:
    """Answer the questions ``store`` holds no answer to yet; rows are saved even if the run is interrupted.

    Each video is decoded once and each prompt processed once for all trials. A question that fails becomes a
    row with its error, and the run continues; the next run retries it.

    Parameters
    ----------
    plan : trials, and the sampling of videos
    questions : see :func:`stgraph.bench.answers.questions.read_task`; those about one video are asked together
    load : returns the model; called only if there are questions to ask
    store : rows of earlier runs, and where new ones go
    progress : called with a label and the share of the work done, 0 to 1

    Returns
    -------
    list of Row
        for these questions and trials, computed now or earlier: :data:`stgraph.bench.tables.experiments.ANSWERS`

    Raises
    ------
    StgraphError
        PyAV is missing, the model cannot be loaded, or its tokenizer has no tokens for the letters
    """
    tell = progress or (lambda label, share: None)
    asked = [Asked(question, plan, plan.trials) for question in _by_video(questions)]
    missing = [left for left in (_left(one, store) for one in asked) if left.trials]
    total, before = sum(len(one.trials) for one in missing), store.n_new
    if missing:
        model = ready_model(plan, load, max(len(question.options) for question in questions), tell)
        if model.checkpoint.name != store.model:
            raise InputError(
                f"the rows are of model {store.model}, but {model.checkpoint.name} was loaded; pass the one"
            )
        try:
            for _, alike in groupby(missing, lambda one: one.question.path):
                for row in answers(alike, model, Clip(plan.frames, plan.fps)):
                    store.add([row])
                    tell(row["id"], (store.n_new - before) / total)
        finally:
            store.save()
    tell("done", 1.0)
    return store.get(key for one in asked for key in one.keys.values())


def _by_video(questions: Sequence[Question]) -> list[Question]:
    """The questions grouped by video, in order of each video's first question."""
    videos: dict[Path, list[Question]] = {}
    for question in questions:
        videos.setdefault(question.path, []).append(question)
    return [question for group in videos.values() for question in group]


def _left(asked: Asked, store: TaskRows) -> Asked:
    """The unanswered part."""
    left = [one for one, key in asked.keys.items() if not store.holds(key, asked.video_bytes)]
    return Asked(asked.question, asked.plan, left)
