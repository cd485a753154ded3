"""Encoded training videos: a ring refilled during training, with deterministic contents per step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from stgraph.bench.probe.encoder import WIDTH
from stgraph.bench.probe.questions import TRAINING_ORDER, ask, encoded
from stgraph.bench.probe.scene import GRID, make_scene
from stgraph.bench.probe.splits import seed_of
from stgraph.bench.probe.words import QUESTION_LENGTH, SHAPES


@dataclass(frozen=True, eq=False)
class Batch:
    """Videos with their questions.

    Attributes
    ----------
    features : [B, n, WIDTH] float32, of the encoder
    objects : [B, n] bool, patches with a visible object
    questions : [B, Q, 4] int64
    answers : [B, Q] int64
    """

    features: torch.Tensor
    objects: torch.Tensor
    questions: torch.Tensor
    answers: torch.Tensor


@dataclass(eq=False)
class Stream:
    """The last ``size`` training videos, ``fresh`` of them new at every step.

    Parameters
    ----------
    encoder : frozen
    n_frames : of every video
    first : index of the first training video
    size, fresh : videos held, and new videos per step
    """

    encoder: nn.Module
    n_frames: int
    first: int
    size: int
    fresh: int
    _next: int = field(init=False)

    def __post_init__(self) -> None:
        n = self.n_frames * GRID * GRID
        device = next(self.encoder.parameters()).device
        self._features = torch.zeros(self.size, n, WIDTH, dtype=torch.float16, device=device)
        self._objects = torch.zeros(self.size, n, dtype=torch.bool, device=device)
        self._questions = torch.zeros(self.size, len(TRAINING_ORDER), QUESTION_LENGTH, dtype=torch.int64, device=device)
        self._answers = torch.zeros(self.size, len(TRAINING_ORDER), dtype=torch.int64, device=device)
        self._next = -1

    def batch(self, step: int, size: int, rng: np.random.Generator) -> Batch:
        """``size`` videos of the ring at ``step``."""
        stop = self.first + self.size + self.fresh * step
        start = max(self._next, stop - self.size)
        for index in range(start, stop):
            self._add(index)
        self._next = stop
        chosen = torch.from_numpy(rng.permutation(self.size)[:size]).to(self._answers.device)
        return Batch(
            self._features[chosen].float(), self._objects[chosen], self._questions[chosen], self._answers[chosen]
        )

    def _add(self, index: int) -> None:
        """Make and encode one video, by itself, since a convolution's rounding depends on the batch."""
        seed, place = seed_of("train", index), index % self.size
        scene = make_scene(seed, self.n_frames)
        device = self._answers.device
        with torch.no_grad():
            self._features[place] = self.encoder(torch.from_numpy(scene.frames[None]).to(device))[0].half()
        self._objects[place] = torch.from_numpy(scene.shapes.reshape(-1) < len(SHAPES)).to(device)
        words, answers = encoded(ask(scene, seed))
        self._questions[place] = torch.from_numpy(words).to(device)
        self._answers[place] = torch.from_numpy(answers).to(device)
