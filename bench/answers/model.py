"""A model that answers multiple-choice questions about videos, with or without compression."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import version
from time import perf_counter

import numpy as np

from stgraph.bench.answers.plan import DOWNSAMPLED, Trial
from stgraph.bench.answers.prompts import Clip, Prompt, Prompts
from stgraph.bench.answers.questions import Question
from stgraph.bench.tables.table import Row
from stgraph.errors import InputError
from stgraph.selection.prefill_flops import TERA, prefill_flops, shape_of
from stgraph.vlm.checkpoint import Checkpoint
from stgraph.vlm.compress import Compression, compress
from stgraph.vlm.downsampling import token_pixels
from stgraph.vlm.families import parts_of
from stgraph.vlm.multiple_choice import LETTERS, letter_scores, letter_tokens
from stgraph.vlm.phase_times import PhaseTimes
from stgraph.vlm.stats import Stats, VideoRecord

_REPORTED = ("n_communities", "largest_community", "oversized_ratio")  # what a selection may report


class TaskModel:
    """A checkpoint, ready for the trials of a plan.

    Parameters
    ----------
    n_letters : maximum number of options per question

    Raises
    ------
    InputError
        a selector or the tokenizer does not fit this model
    UnavailableError
        the plan asks for smaller frames, but this model's have a fixed size
    """

    def __init__(self, checkpoint: Checkpoint, trials: Sequence[Trial], n_letters: int) -> None:
        self.checkpoint = checkpoint
        self.parts = parts_of(checkpoint.model)
        self.letters = letter_tokens(checkpoint.processor.tokenizer, n_letters)
        self.compressions: dict[Trial, Compression] = {
            one: compress(checkpoint.model, one.selector) for one in trials if one.selector is not None
        }
        self._shape = shape_of(self.parts.text.config)
        downsamples = any(one.name == DOWNSAMPLED for one in trials)
        pixels = token_pixels(checkpoint.processor, self.parts.model_type) if downsamples else 0
        self.prompts = Prompts(checkpoint, self.parts, pixels)

    @property
    def facts(self) -> Row:
        """Values shared by all of its rows."""
        return {
            "model": self.checkpoint.name,
            "transformers": version("transformers"),
            "device": self.checkpoint.device,
            "computed_in": self.checkpoint.dtype,
        }

    def answer(self, question: Question, trial: Trial, clip: Clip) -> Row:
        """Prediction, scores, and figures of the video's selection.

        Raises
        ------
        InputError
            the video cannot be read, or the selection refuses it
        """
        prompt = self.prompts.of(question, clip, trial)
        full = self.prompts.full(question, clip) if trial.name == DOWNSAMPLED else prompt
        compression = self.compressions.get(trial)
        if compression is not None:  # a call that failed may have left its records
            compression.stats.videos.clear()
            compression.stats.prompts.clear()
        start = perf_counter()
        with PhaseTimes(self.parts) as phases, compression or nullcontext():
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
            "n_visual": full.n_visual,
            "n_kept": prompt.n_visual,
            "prepare_s": prompt.prepare_s,
            "total_s": total_s,
        }
        spent = phases.prompt(None if compression is None else compression.stats)
        row |= {name: spent[name] for name in ("tower_s", "projector_s", "prefill_s")}
        if compression is not None:
            row |= _selection_columns(compression.stats.videos)
        return {**row, "prefill_tflop": self._tflop(prompt, None if compression is None else compression.stats)}

    def _tflop(self, prompt: Prompt, stats: Stats | None) -> float | None:
        """FLOPs of the prompt's prefill in 10^12, including a probe pass; None for an LLM the count does not cover."""
        if self._shape is None:
            return None
        if stats is None:
            return prefill_flops(self._shape, [prompt.length] * self._shape.n_layers) / TERA
        (video,), (passed,) = stats.videos, stats.prompts
        # All that entered, newlines too, up to the first cut; then those at the end and those dropped on the way.
        n_input, n_kept = video.account.n_input, video.account.n_kept
        layers = video.account.per_layer
        tokens = [passed.entered[0] if n == n_input else passed.kept_length + n - n_kept for n in layers]
        return prefill_flops(self._shape, tokens, passed.probe_length or 0, passed.probe_layer or 0) / TERA


def _selection_columns(records: Sequence[VideoRecord]) -> Row:
    """Columns on the selection of a prompt's video."""
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
