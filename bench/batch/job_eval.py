"""``stgraph batch eval``: questions about many videos, answered by a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

from stgraph.bench.answers.answers import Asked, answers, ready_model
from stgraph.bench.answers.model import TaskModel
from stgraph.bench.answers.plan import BLIND, FULL, TaskPlan
from stgraph.bench.answers.prompts import Clip
from stgraph.bench.answers.questions import Question, read_task
from stgraph.bench.batch.jobs import BatchStopError, Job, Row, spread
from stgraph.bench.batch.result_file import read_results
from stgraph.bench.tables.experiments import ANSWERS
from stgraph.errors import InputError, MissingDependencyError, StgraphError
from stgraph.video.dump import SUFFIXES
from stgraph.vlm.checkpoint import load as load_checkpoint

_MODEL = Lock()  # a Dask worker may have several threads, but selections hook into its one model


@dataclass(frozen=True, kw_only=True)
class EvalJob(Job):
    """Rows of ``stgraph eval --model --task`` for every video and trial.

    Attributes
    ----------
    model : checkpoint, see :func:`stgraph.vlm.load`; loaded once per worker
    task : file of questions, see :func:`stgraph.bench.answers.questions.read_task`; made an absolute path
    selectors, retain_ratios, backends, splits, fps, dtype, pooling, options : see
        :class:`stgraph.bench.answers.plan.TaskPlan`
    frames : see there; 64 without ``fps``
    device : device of the model; None for a GPU if there is one
    questions : questions about each video, by :func:`_place` of its path; for a worker, only those of its input
    n_letters : the largest number of options of a question

    Raises
    ------
    InputError, UnknownNameError, BackendUnavailableError, MissingSignalError
        a parameter or the task file is wrong, as far as can be checked without loading the model
    """

    model: str = ""
    task: str = ""
    selectors: tuple[str, ...] = (FULL, BLIND, "st-simdiff")
    retain_ratios: tuple[float, ...] = (0.3,)
    backends: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    frames: int | None = None
    fps: float | None = None
    dtype: str | None = None
    pooling: str | None = None
    device: str | None = None
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    questions: Mapping[str, tuple[Question, ...]] = field(init=False, repr=False, compare=False)
    n_letters: int = field(init=False, repr=False)

    name: ClassVar[str] = "eval"
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES
    output: ClassVar[None] = None
    columns: ClassVar[Mapping[str, type]] = ANSWERS.columns

    def __post_init__(self) -> None:
        for name, what in (("model", "NAME_OR_PATH of a checkpoint"), ("task", "a file of questions (.jsonl)")):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise InputError(f"batch eval lacks {name}; give it {what}")
        spread(self, "selectors", "retain_ratios", "backends", "splits")
        self._plan()
        object.__setattr__(self, "task", os.path.abspath(self.task))
        questions = read_task(self.task)
        by_place: dict[str, tuple[Question, ...]] = {}
        for question in questions:
            place = _place(str(question.path))
            by_place[place] = (*by_place.get(place, ()), question)
        object.__setattr__(self, "questions", by_place)
        object.__setattr__(self, "n_letters", max(len(question.options) for question in questions))

    @property
    def asked(self) -> str:
        """Digest of the questions: if one changes, its video is evaluated again."""
        digests = [question.digest for about in self.questions.values() for question in about]
        return blake2b(" ".join(digests).encode(), digest_size=8).hexdigest()

    def of(self, path: str) -> EvalJob:
        """The job with only the questions about one video.

        Raises
        ------
        InputError
            no question is about it
        """
        place = _place(path)
        if place not in self.questions:
            raise InputError(
                f"{self.task} asks nothing about {path}, but about {next(iter(self.questions))}; name videos it asks "
                "about, or folders, of which those are taken"
            )
        own = copy(self)
        object.__setattr__(own, "questions", {place: self.questions[place]})
        return own

    def run(self, path: Path, target: Path | None) -> list[Row]:
        """One row per question about the video and trial."""
        questions = self.questions[_place(str(path))]
        try:
            with _MODEL:
                plan, model = _answering(self)
                clip = Clip(plan.frames, plan.fps)
                clip.of(questions[0])  # a video that cannot be read is tried again, then gives one failed row
                return list(answers([Asked(one, plan, plan.trials) for one in questions], model, clip))
        except MissingDependencyError as error:
            raise BatchStopError(str(error)) from error

    def _plan(self) -> TaskPlan:
        return TaskPlan(
            selectors=self.selectors,
            retain_ratios=self.retain_ratios,
            backends=self.backends,
            splits=self.splits,
            options=self.options,
            frames=64 if self.frames is None and self.fps is None else self.frames,
            fps=self.fps,
            dtype=self.dtype,
            pooling=self.pooling,
        )


def answered(output: str | os.PathLike[str], parameters_digest: str | None = None) -> Iterator[Row]:
    """Rows of questions in the folder of a batch, for :func:`stgraph.bench.answers.summary.summarise`.

    Parameters
    ----------
    parameters_digest : only rows with this value in the column of that name are read

    Raises
    ------
    InputError
        a file of the folder holds no rows
    """
    for row in read_results(output):
        if row.get("digest") is not None and parameters_digest in (None, row["parameters_digest"]):
            yield row


def _place(path: str) -> str:
    """Path by which a file is matched: links in its folder's path are followed, but not a link that is the file."""
    if "\0" in path:
        return path
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


@lru_cache(maxsize=1)
def _answering(job: EvalJob) -> tuple[TaskPlan, TaskModel]:
    """Plan and model of a job, for any questions; loaded once per worker."""
    plan = job._plan()
    load = partial(load_checkpoint, job.model, dtype=job.dtype, device=job.device, pooling=job.pooling)
    try:
        return plan, ready_model(plan, load, job.n_letters)
    except (StgraphError, MissingDependencyError) as error:
        raise BatchStopError(str(error)) from error
    except Exception as error:  # such as too little memory: every other input would fail too
        raise BatchStopError(f"cannot load {job.model}: {type(error).__name__}: {error}") from error
