"""Multiple-choice questions about videos, answered by a real model under every configuration of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import stgraph
from stgraph.arrays import FEATURE_DTYPES
from stgraph.bench.row_file import Key, Row
from stgraph.bench.selector_plan import warm_up
from stgraph.bench.task_file import Question
from stgraph.bench.task_model import Clip, TaskModel
from stgraph.bench.task_plan import Configuration, TaskPlan
from stgraph.bench.task_rows import COLUMNS, TaskRows
from stgraph.errors import InputError, MissingDependencyError, StgraphError, missing_dependency
from stgraph.vlm.checkpoint import Checkpoint
from stgraph.vlm.multiple_choice import LETTERS

Progress = Callable[[str, float], None]
# What a video, a prompt that is too long, or a selection can do to one question. All else is a bug, and stops the run.
_FAILURES = (StgraphError, OSError, RuntimeError, ValueError)


def run(
    plan: TaskPlan,
    questions: Sequence[Question],
    load: Callable[[], Checkpoint],
    store: TaskRows,
    progress: Progress | None = None,
) -> list[Row]:
    """Answer what ``store`` holds no answer to yet; rows are saved even if the run is interrupted.

    Each video is decoded once and each prompt processed once for all configurations. A question that fails becomes a
    row with its error, and the run goes on; the next run tries it again.

    Parameters
    ----------
    plan : configurations, and how videos are sampled
    questions : see :func:`stgraph.bench.task_file.read_task`; those about one video are asked together
    load : gives the model; called only where there is something to ask
    store : rows of earlier runs, and where new ones go
    progress : called with a label and the share of the work done, 0 to 1

    Returns
    -------
    list of Row
        of these questions and configurations, computed now or before: :data:`stgraph.bench.task_rows.COLUMNS`

    Raises
    ------
    StgraphError
        PyAV is missing, the model cannot be loaded, or its tokenizer has no tokens for the letters
    """
    tell = progress or (lambda label, share: None)
    asked = [_Asked(question, plan, plan.configurations) for question in _by_video(questions)]
    missing = [left for left in (one.left(store) for one in asked) if left.configurations]
    total, before = sum(len(one.configurations) for one in missing), store.n_new
    if missing:
        _check_av()
        tell("loading the model", 0.0)
        checkpoint = load()
        if checkpoint.name != store.model:
            raise InputError(f"the rows are of model {store.model}, but {checkpoint.name} was loaded; pass the one")
        model = TaskModel(checkpoint, plan.configurations, max(len(question.options) for question in questions))
        tell("compiling kernels, loading libraries", 0.0)
        warm_up(
            (one.selector for one in plan.configurations if one.selector is not None), FEATURE_DTYPES[checkpoint.dtype]
        )
        try:
            for _, alike in groupby(missing, lambda one: one.question.path):
                clip = Clip(plan.frames, plan.fps)
                for one in alike:
                    for row in one.rows(model, clip):
                        store.add([row])
                        tell(one.question.id, (store.n_new - before) / total)
        finally:
            store.save()
    tell("done", 1.0)
    return store.get(key for one in asked for key in one.keys.values())


def _by_video(questions: Sequence[Question]) -> list[Question]:
    """The questions with those about one video together, in the order in which the videos come first."""
    videos: dict[Path, list[Question]] = {}
    for question in questions:
        videos.setdefault(question.path, []).append(question)
    return [question for group in videos.values() for question in group]


def _check_av() -> None:
    try:
        import av  # noqa: F401
    except ImportError:
        raise missing_dependency("reading videos", "av", "video") from None


@dataclass(frozen=True, eq=False)
class _Asked:
    """A question and what it is to be answered with."""

    question: Question
    plan: TaskPlan
    configurations: Sequence[Configuration]

    def columns(self, configuration: Configuration) -> Row:
        """The values of :data:`stgraph.bench.task_rows.KEY`."""
        frames = {"frames": self.plan.frames, "fps": self.plan.fps, "dtype": self.plan.dtype}
        return {"digest": self.question.digest, **configuration.columns, **frames}

    @cached_property
    def keys(self) -> dict[Configuration, Key]:
        return {one: tuple(self.columns(one).values()) for one in self.configurations}

    @cached_property
    def video_bytes(self) -> int | None:
        """Size of the file; None where there is none."""
        try:
            return self.question.path.stat().st_size
        except OSError:
            return None

    def left(self, store: TaskRows) -> _Asked:
        """The part of it that is not answered."""
        left = [one for one, key in self.keys.items() if not store.holds(key, self.video_bytes)]
        return _Asked(self.question, self.plan, left)

    def rows(self, model: TaskModel, clip: Clip) -> Iterator[Row]:
        """A row for each configuration."""
        question = self.question
        known: Row = {
            "id": question.id,
            "video": question.video,
            "family": question.family,
            "stgraph": stgraph.__version__,
            "video_bytes": self.video_bytes,
            "n_options": len(question.options),
            "answer": LETTERS[question.answer],
            **model.facts,
        }
        for configuration in self.configurations:
            try:
                found = model.answer(question, configuration, clip)
            except MissingDependencyError:
                raise
            except _FAILURES as error:
                found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
            row = {**known, **self.columns(configuration), **found}
            yield {name: row.get(name) for name in COLUMNS}
