"""Training recipes of the probe's models: stages of steps, as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stgraph.bench.probe.scene import FRAMES, GRID


@dataclass(frozen=True)
class Stage:
    """Steps of one kind.

    Attributes
    ----------
    steps : number of steps
    n_frames : length of the videos
    tokens : approximate visual tokens per step, over all videos
    n_kept : (low, high), visual tokens kept per video, drawn log-uniformly; None keeps all
    whole : share of steps in which a video keeps between half and all of its tokens
    enriched : share of videos in which patches with an object are favoured, to a random degree
    """

    steps: int
    n_frames: int
    tokens: int
    n_kept: tuple[int, int] | None = None
    whole: float = 0.0
    enriched: float = 0.0

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """(videos, tokens kept per video) for one step."""
        n = self.n_frames * GRID * GRID
        if self.n_kept is None:
            return max(1, self.tokens // n), n
        low, high = (n // 2, n) if rng.random() < self.whole else self.n_kept
        kept = min(n, int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))))
        return max(2, min(32, self.tokens // kept)), kept


# "dropped": tokens are dropped in most steps, those without an object more readily, so that a pruned prompt is nothing
# new to the model. "whole": no token of any video is ever dropped; the videos grow longer instead, which makes training
# affordable on a CPU. "vit": the later stage of "dropped", shorter, from a model that was trained by it.
RECIPES: dict[str, tuple[Stage, ...]] = {
    "dropped": (
        Stage(1000, FRAMES, 2400, (40, 120), enriched=0.8),
        Stage(3000, FRAMES, 3600, (48, 400), whole=0.3, enriched=0.4),
    ),
    "whole": (
        Stage(1200, 4, 4096),
        Stage(1000, 8, 4096),
        Stage(2500, FRAMES, 4096),
    ),
    "vit": (Stage(300, FRAMES, 3600, (48, 400), whole=0.3, enriched=0.4),),
}


@dataclass(frozen=True)
class Base:
    """What a recipe's models are made of.

    Attributes
    ----------
    encoder : one of :data:`stgraph.bench.probe.model.ENCODERS`
    begins : model whose encoder (the transformer's stem), projector and decoder training begins with; None draws all
    peak : highest learning rate
    """

    encoder: str = "convolutions"
    begins: str | None = None
    peak: float = 2e-3


_BASES = {"vit": Base("vit", "dropped-1", 1e-3)}


def base_of(recipe: str) -> Base:
    """The base of a recipe's models."""
    return _BASES.get(recipe, Base())


def stage_of(recipe: str, step: int) -> tuple[Stage, int]:
    """The stage of a step, and the step's number within it."""
    for stage in RECIPES[recipe]:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    raise IndexError(f"step beyond the end of recipe {recipe!r}")


def n_steps(recipe: str) -> int:
    """Total steps of all stages."""
    return sum(stage.steps for stage in RECIPES[recipe])


def learning_rate(share: float, peak: float, step: int) -> float:
    """Learning rate at ``share`` (0 to 1) of the steps: 200 steps of warm-up, constant to 55 %, then a cosine down to 3
    % of the peak."""
    late = max(0.0, (share - 0.55) / 0.45)
    return float(peak * min(1.0, (step + 1) / 200) * (0.03 + 0.97 * (0.5 + 0.5 * np.cos(np.pi * late))))
