"""Answers of a model to the questions about one video, one row per question and trial of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import stgraph
from stgraph.aliases import Progress
from stgraph.arrays import FEATURE_DTYPES
from stgraph.bench.answers.model import TaskModel
from stgraph.bench.answers.plan import TaskPlan, Trial
from stgraph.bench.answers.prompts import Clip
from stgraph.bench.answers.questions import Question
from stgraph.bench.tables.experiments import ANSWERS
from stgraph.bench.tables.table import Key, Row
from stgraph.bench.warm_up import warm_up
from stgraph.errors import MissingDependencyError, StgraphError
from stgraph.video.opening import need_av
from stgraph.vlm.checkpoint import Checkpoint
from stgraph.vlm.multiple_choice import LETTERS

# Errors that a video, an overlong prompt or a selection can cause for one question. Anything else is a bug and stops
# the run.
_FAILURES = (StgraphError, OSError, RuntimeError, ValueError)


def ready_model(
    plan: TaskPlan,
    load: Callable[[], Checkpoint],
    n_letters: int,
    tell: Progress = lambda label, share: None,
) -> TaskModel:
    """The loaded model, warmed up for its first answer.

    Parameters
    ----------
    plan : the plan it will answer
    load : returns the checkpoint
    n_letters : maximum number of options per question
    tell : called with a label and 0.0

    Raises
    ------
    StgraphError
        PyAV is missing, the model cannot be loaded, or its tokenizer has no tokens for the letters
    """
    need_av()
    tell("loading the model", 0.0)
    checkpoint = load()
    model = TaskModel(checkpoint, plan.trials, n_letters)
    tell("compiling kernels, loading libraries", 0.0)
    selectors = (one.selector for one in plan.trials if one.selector is not None)
    warm_up(selectors, FEATURE_DTYPES[checkpoint.dtype])
    return model


@dataclass(frozen=True, eq=False)
class Asked:
    """A question and the trials that answer it."""

    question: Question
    plan: TaskPlan
    trials: Sequence[Trial]

    def columns(self, trial: Trial) -> Row:
        """The values of the key of :data:`stgraph.bench.tables.experiments.ANSWERS`."""
        plan = self.plan
        shared = {"frames": plan.frames, "fps": plan.fps, "dtype": plan.dtype, "pooling": plan.pooling}
        return {"digest": self.question.digest, **trial.columns, **shared}

    @cached_property
    def keys(self) -> dict[Trial, Key]:
        """The keys of its rows."""
        return {one: tuple(self.columns(one).values()) for one in self.trials}

    @cached_property
    def video_bytes(self) -> int | None:
        """Size of the file in bytes; None if it does not exist."""
        try:
            return self.question.path.stat().st_size
        except OSError:
            return None


def answers(asked: Iterable[Asked], model: TaskModel, clip: Clip) -> Iterator[Row]:
    """A row (:data:`stgraph.bench.tables.experiments.ANSWERS`) for each question and each of its trials.

    A question that fails gives a row with its error.

    Parameters
    ----------
    asked : about one video
    clip : the video's frames, decoded when a question first needs them

    Raises
    ------
    MissingDependencyError
        a trial needs a package that is not installed
    """
    for one in asked:
        question = one.question
        known: Row = {
            "id": question.id,
            "video": question.video,
            "family": question.family,
            "stgraph": stgraph.__version__,
            "video_bytes": one.video_bytes,
            "n_options": len(question.options),
            "answer": LETTERS[question.answer],
            **model.facts,
        }
        for trial in one.trials:
            try:
                found = model.answer(question, trial, clip)
            except MissingDependencyError:
                raise
            except _FAILURES as error:
                found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
            yield ANSWERS.row({**known, **one.columns(trial), **found})
