"""Prompts of questions: full, without the video, and with smaller frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from stgraph.bench.answers.plan import BLIND, DOWNSAMPLED, Trial
from stgraph.bench.answers.questions import Question
from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.selection.budget import Budget
from stgraph.vlm.checkpoint import Checkpoint
from stgraph.vlm.downsampling import resized, smaller_grid
from stgraph.vlm.families import Parts
from stgraph.vlm.grids import videos_of
from stgraph.vlm.multiple_choice import choice_chat
from stgraph.vlm.prompt_video import PromptVideo, chat_text, prompt_inputs, prompt_video


class Clip:
    """The frames of videos in turn, each video decoded once, on first access.

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
            the video cannot be read; raised anew for each question about it
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
class Prompt:
    """A prepared prompt.

    Attributes
    ----------
    inputs : inputs of the model
    grid : of its video, or None
    n_frames : frames taken from the video
    prepare_s : seconds to decode and preprocess
    """

    inputs: Mapping[str, Any]
    grid: TokenGrid | None
    n_frames: int
    prepare_s: float

    @property
    def n_visual(self) -> int:
        """Tokens of the video, without newlines."""
        return 0 if self.grid is None else self.grid.n_nodes

    @property
    def length(self) -> int:
        """Tokens of the whole prompt."""
        return int(self.inputs["input_ids"].shape[1])


class Prompts:
    """The prompts of questions in turn, each processed once for all trials.

    Parameters
    ----------
    pixels : per side of a token, see :func:`stgraph.vlm.downsampling.token_pixels`; 0 if frames are never downsampled
    """

    def __init__(self, checkpoint: Checkpoint, parts: Parts, pixels: int) -> None:
        self.checkpoint, self.parts, self.pixels = checkpoint, parts, pixels
        self._question: Question | None = None
        self._made: dict[tuple[str, float | None], Prompt] = {}

    def of(self, question: Question, clip: Clip, trial: Trial) -> Prompt:
        """The prompt of a question, as used by a trial.

        Raises
        ------
        InputError
            the video cannot be read, or its frames cannot be made small enough
        """
        if trial.name == BLIND:
            return self._once(question, clip, BLIND)
        return self._once(question, clip, *((DOWNSAMPLED, trial.retain_ratio) if trial.name == DOWNSAMPLED else ()))

    def full(self, question: Question, clip: Clip) -> Prompt:
        """The prompt with the whole video."""
        return self._once(question, clip)

    def _once(self, question: Question, clip: Clip, way: str = "", ratio: float | None = None) -> Prompt:
        if self._question is not question:
            self._question, self._made = question, {}
        if (way, ratio) not in self._made:
            if way == DOWNSAMPLED:
                made = self._downsampled(question, clip, ratio)
            else:
                start = perf_counter()
                made = self._prepare(question, None if way == BLIND else clip.of(question), start)
            self._made[way, ratio] = made
        return self._made[way, ratio]

    def _downsampled(self, question: Question, clip: Clip, ratio: float | None) -> Prompt:
        """The prompt with frames downsampled to at most ceil(r N) tokens."""
        grid = self.full(question, clip).grid
        assert grid is not None
        start = perf_counter()
        h, w = smaller_grid(grid, Budget(ratio).count(grid))
        video = clip.of(question)
        small = PromptVideo(
            resized(video.rgb, h * self.pixels, w * self.pixels), video.times, video.duration_s, video.metadata
        )
        made = self._prepare(question, small, start, resize=False)
        if made.grid is None or made.grid.shape != (grid.T, h, w):
            raise InputError(f"frames of {h}x{w} tokens were asked for, but the processor made {made.grid} of them")
        return made

    def _prepare(self, question: Question, video: PromptVideo | None, start: float, *, resize: bool = True) -> Prompt:
        processor, model = self.checkpoint.processor, self.checkpoint.model
        text = chat_text(processor, choice_chat(question.text, question.options, with_video=video is not None))
        frames = [] if video is None else [(video.rgb, video.metadata)]
        inputs = prompt_inputs(processor, [text], frames, resize=resize, device=model.device, dtype=model.dtype)
        found = [] if video is None else videos_of(self.parts, inputs)
        if len(found) != (video is not None):
            raise InputError(f"the prompt holds {len(found)} videos; a question is about one")
        grid = found[0].grid if found else None
        return Prompt(inputs, grid, 0 if video is None else len(video.rgb), perf_counter() - start)
