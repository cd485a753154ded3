"""The probe's vision tower: four convolutions per frame, one feature per patch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from stgraph.bench.probe.scene import GRID, SIZE
from stgraph.bench.probe.words import COLOURS, GROUNDS, SHAPES

WIDTH = 128


class Encoder(nn.Module):
    """Features per patch; each sees 26 x 26 pixels, with its own 6 x 6 in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 5, stride=3, padding=1)
        self.conv2 = nn.Conv2d(32, 96, 4, stride=2, padding=1)
        self.conv3 = nn.Conv2d(96, WIDTH, 3, padding=1)
        self.up = nn.Conv2d(WIDTH, 2 * WIDTH, 1)
        self.down = nn.Conv2d(2 * WIDTH, WIDTH, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """[B, T, SIZE, SIZE, 3] float32 to [B, T * GRID * GRID, WIDTH], each feature of zero mean and unit variance."""
        n_videos, n_frames = frames.shape[:2]
        x = ((frames - 0.45) * 3).reshape(-1, SIZE, SIZE, 3).permute(0, 3, 1, 2)
        x = x.contiguous(memory_format=torch.channels_last)
        x = F.gelu(self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))
        x = x + self.down(F.gelu(self.up(x)))
        features = x.permute(0, 2, 3, 1).reshape(n_videos, n_frames * GRID * GRID, WIDTH)
        return F.layer_norm(features, (WIDTH,))

    def states(self, frames: torch.Tensor) -> torch.Tensor:
        """What the training heads read: the features."""
        result: torch.Tensor = self(frames)
        return result


class PatchHeads(nn.Module):
    """Heads used only to train the encoder: shape, colour and background of every patch."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = nn.Linear(WIDTH, len(SHAPES) + 1)
        self.colour = nn.Linear(WIDTH, len(COLOURS) + 1)
        self.ground = nn.Linear(WIDTH, len(GROUNDS))

    def loss(self, features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss and, for the log, the share of patches classified correctly.

        Parameters
        ----------
        features : [B, n, WIDTH]
        labels : [3, B, n] int64: shape, colour, background
        """
        shape, colour, ground = labels
        thing = shape < len(SHAPES)
        weight = torch.where(thing, 4.0, 1.0)
        total: Any = 0.0
        right = {}
        for name, head, label, share in (
            ("shape", self.shape, shape, 1.0),
            ("colour", self.colour, colour, 1.0),
            ("ground", self.ground, ground, 0.5),
        ):
            logits = head(features)
            loss = F.cross_entropy(logits.flatten(0, 1), label.flatten(), reduction="none")
            total = total + share * (loss * weight.flatten()).sum() / weight.sum()
            among = ~thing if name == "ground" else thing
            right[name] = float((logits.argmax(-1) == label)[among].float().mean())
        return total, right
