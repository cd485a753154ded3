"""A model that answers multiple-choice questions about videos, compressed or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np

from stgraph.bench.answers.plan import BLIND, Trial
from stgraph.bench.answers.questions import Question
from stgraph.bench.tables.table import Row
from stgraph.errors import InputError
from stgraph.vlm.checkpoint import Checkpoint
from stgraph.vlm.compress import Compression, compress
from stgraph.vlm.families import parts_of
from stgraph.vlm.grids import videos_of
from stgraph.vlm.multiple_choice import LETTERS, choice_chat, letter_scores, letter_tokens
from stgraph.vlm.prompt_video import PromptVideo, chat_text, prompt_inputs, prompt_video
from stgraph.vlm.stats import VideoRecord

_REPORTED = ("n_communities", "largest_community", "oversized_ratio")  # what a selection may report


class Clip:
    """The frames of one video after another, each decoded once, on first access.

    Parameters
    ----------
    frames, fps : see :func:`stgraph.vlm.prompt_video.prompt_video`
    """

    def __init__(self, frames: int | None, fps: float | None) -> None:
        self.frames, self.fps = frames, fps
        self._question: Question | None = None
        self._found: PromptVideo | InputError | None = None

    def of(self, question: Question) -> PromptVideo:
        """The frames of its video.

        Raises
        ------
        InputError
            the video cannot be read; the same again for each question about it
        """
        if self._question is None or self._question.path != question.path:
            self._question = question
            try:
                self._found = prompt_video(question.path, self.frames, self.fps)
            except InputError as error:
                self._found = error
        if isinstance(self._found, InputError):
            raise self._found
        assert self._found is not None
        return self._found


@dataclass(frozen=True, eq=False)
class _Prompt:
    """A prepared prompt: the model's inputs, its visual tokens (newlines apart), its frames and what it cost."""

    inputs: Mapping[str, Any]
    n_visual: int
    n_frames: int
    prepare_s: float


class TaskModel:
    """A checkpoint, ready for the trials of a plan.

    Parameters
    ----------
    n_letters : the most options a question has

    Raises
    ------
    InputError
        a selector or the tokenizer does not go with this model
    """

    def __init__(self, checkpoint: Checkpoint, trials: Sequence[Trial], n_letters: int) -> None:
        self.checkpoint = checkpoint
        self.parts = parts_of(checkpoint.model)
        self.letters = letter_tokens(checkpoint.processor.tokenizer, n_letters)
        self.compressions: dict[Trial, Compression] = {
            one: compress(checkpoint.model, one.selector) for one in trials if one.selector is not None
        }
        self._prepared: dict[bool, _Prompt] = {}
        self._prepared_for: Question | None = None

    @property
    def facts(self) -> Row:
        """What all of its rows share."""
        return {
            "model": self.checkpoint.name,
            "transformers": version("transformers"),
            "device": self.checkpoint.device,
            "computed_in": self.checkpoint.dtype,
        }

    def answer(self, question: Question, trial: Trial, clip: Clip) -> Row:
        """Prediction, scores and what was kept of the video.

        Raises
        ------
        InputError
            the video cannot be read, or the selection refuses it
        """
        prompt = self._prompt(question, clip, trial.name != BLIND)
        compression = self.compressions.get(trial)
        if compression is not None:  # a call that failed may have left its records
            compression.stats.videos.clear()
            compression.stats.prompts.clear()
        start = perf_counter()
        with compression or nullcontext():
            scores = letter_scores(self.checkpoint.model, prompt.inputs, self.letters[: len(question.options)])
        total_s = perf_counter() - start
        best = int(np.argmax(scores))  # of equal scores the first
        chances = np.exp(scores)
        row: Row = {
            "prediction": LETTERS[best],
            "correct": best == question.answer,
            "p_answer": float(chances[question.answer] / chances.sum()),
            "p_letters": float(chances.sum()),
            "n_frames": prompt.n_frames,
            "n_visual": prompt.n_visual,
            "n_kept": prompt.n_visual,
            "prepare_s": prompt.prepare_s,
            "total_s": total_s,
        }
        if compression is not None:
            row |= _selection_columns(compression.stats.videos)
        return row

    def _prompt(self, question: Question, clip: Clip, with_video: bool) -> _Prompt:
        """The prompt of a question, with its video or without; processed once each."""
        if self._prepared_for is not question:
            self._prepared, self._prepared_for = {}, question
        if with_video not in self._prepared:
            self._prepared[with_video] = self._prepare(question, clip, with_video)
        return self._prepared[with_video]

    def _prepare(self, question: Question, clip: Clip, with_video: bool) -> _Prompt:
        start = perf_counter()
        video = clip.of(question) if with_video else None
        processor, model = self.checkpoint.processor, self.checkpoint.model
        text = chat_text(processor, choice_chat(question.text, question.options, with_video=with_video))
        frames = [] if video is None else [(video.rgb, video.metadata)]
        inputs = prompt_inputs(processor, [text], frames, device=model.device, dtype=model.dtype)
        n_visual = 0 if video is None else sum(found.grid.n_nodes for found in videos_of(self.parts, inputs))
        return _Prompt(inputs, n_visual, 0 if video is None else len(video.rgb), perf_counter() - start)


def _selection_columns(records: Sequence[VideoRecord]) -> Row:
    """What was kept of a prompt's video."""
    if len(records) != 1:
        raise InputError(f"the prompt holds {len(records)} videos; a question is about one")
    (video,) = records
    return {
        "n_visual": video.n_visual,
        "n_kept": video.n_kept,
        "n_candidates": video.n_candidates,
        "exactness": video.exactness,
        "select_s": video.select_s,
        "probe_s": video.probe_s,
        **{name: video.report.get(name) for name in _REPORTED},
    }
