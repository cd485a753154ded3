"""The probe's vision tower with attention: a small vision transformer per frame, with a CLS token and a pooling head.

The patches enter it as features of the convolutional encoder, which is trained further. The selectors' signals are read
from the last block by the code that reads them from a running model (:mod:`stgraph.vlm.encoder_signals`,
:mod:`stgraph.vlm.pooling_head`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from stgraph.bench.probe.encoder import WIDTH, Encoder, PatchHeads
from stgraph.bench.probe.scene import GRID
from stgraph.bench.probe.words import COLOURS, GROUNDS, SHAPES
from stgraph.vlm.encoder_signals import ATTENTION_SIGNALS, attention_signals, without_first
from stgraph.vlm.pooling_head import PoolingHead

PATCHES = GRID * GRID
BLOCKS, HEADS = 3, 4
_HEAD_WIDTH = WIDTH // HEADS
SCALE = _HEAD_WIDTH**-0.5


class Block(nn.Module):
    """One block: attention among the tokens of a frame, then two layers on each of them; norms before both."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        for out in (self.out_proj, self.fc2):  # little is added to the patches at first
            nn.init.normal_(out.weight, std=0.02)

    def heads(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of tokens [F, L, WIDTH]: [F, HEADS, L, width]."""
        x = self.norm1(x)
        q, k, v = (
            part(x).view(*x.shape[:2], HEADS, _HEAD_WIDTH).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        return q, k, v

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[F, L, WIDTH]"""
        q, k, v = self.heads(x)
        mixed = (q @ k.transpose(-1, -2) * SCALE).softmax(-1) @ v  # a third of the time of torch's own on a CPU
        x = x + self.out_proj(mixed.transpose(1, 2).reshape(x.shape))
        result: torch.Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return result


class AttentionPool(nn.Module):
    """A learnt query that attends to a frame's patches, in the layout of SigLIP's pooling head."""

    def __init__(self) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.layernorm = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """[F, n, WIDTH] to [F, WIDTH]."""
        gathered = self.attention(self.probe.expand(len(patches), -1, -1), patches, patches)[0]
        result: torch.Tensor = (gathered + self.mlp(self.layernorm(gathered)))[:, 0]
        return result


class VisionTransformer(nn.Module):
    """Features per patch, as of :class:`stgraph.bench.probe.encoder.Encoder`, and the signals of selectors."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Encoder()
        self.cls = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.place = nn.Parameter(0.02 * torch.randn(1, 1 + PATCHES, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.head = AttentionPool()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """[B, T, SIZE, SIZE, 3] float32 to [B, T * PATCHES, WIDTH], each feature of zero mean and unit variance."""
        x = self._entering(frames)
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, 1:]).reshape(len(frames), -1, WIDTH)

    def states(self, frames: torch.Tensor) -> torch.Tensor:
        """[B * T, 1 + PATCHES + 1, WIDTH], which the training heads read: CLS token, patches, pooled patches."""
        x = self._entering(frames)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return torch.cat([x, self.head(x[:, 1:])[:, None]], 1)

    def signals(self, frames: torch.Tensor) -> dict[str, torch.Tensor]:
        """[B, T, ...] float32 each: ``enc_features``, what :meth:`forward` gives; of the last block
        :data:`stgraph.vlm.encoder_signals.ATTENTION_SIGNALS`; :data:`stgraph.vlm.pooling_head.POOL_SIGNALS`."""
        x = self._entering(frames)
        for block in self.blocks[:-1]:
            x = block(x)
        last: Any = self.blocks[-1]
        q, k, _ = last.heads(x)
        found = attention_signals(ATTENTION_SIGNALS, q, k, SCALE)
        found = without_first(found, 1, type(self).__name__)
        patches = last(x)[:, 1:]
        found |= PoolingHead(self.norm, self.head).signals(patches)
        found["enc_features"] = self.norm(patches)
        return {name: values.reshape(*frames.shape[:2], *values.shape[1:]) for name, values in found.items()}

    def _entering(self, frames: torch.Tensor) -> torch.Tensor:
        """[B * T, 1 + PATCHES, WIDTH], the first block's input: the CLS token, then the patches."""
        x = self.stem(frames).reshape(-1, PATCHES, WIDTH)
        return torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.place


class FrameHeads(nn.Module):
    """Heads used only to train the transformer: those of its patches, and for CLS token and pooling head, what a frame
    shows: the colour of each shape, or none, and the backgrounds."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = PatchHeads()
        self.cls, self.pooled = (nn.Linear(WIDTH, len(SHAPES) * (len(COLOURS) + 1) + len(GROUNDS)) for _ in range(2))

    def loss(self, states: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss and, for the log, the share of patches, and of colours of shapes in a frame, that are right.

        Parameters
        ----------
        states : [F, 1 + PATCHES + 1, WIDTH], of :meth:`VisionTransformer.states`
        labels : [3, B, n] int64: shape, colour, background of every patch
        """
        shape, colour, ground = labels.reshape(3, -1, PATCHES)
        seen = torch.full((len(shape), len(SHAPES) + 1), len(COLOURS), device=shape.device)
        seen = seen.scatter_(1, shape, colour)[:, :-1]
        grounds = torch.zeros(len(shape), len(GROUNDS), device=shape.device).scatter_(1, ground, 1.0)
        total, right = self.patches.loss(states[:, 1:-1], torch.stack([shape, colour, ground]))
        for name, head, state in (("cls", self.cls, states[:, 0]), ("pooled", self.pooled, states[:, -1])):
            colours, backgrounds = head(state).tensor_split([-len(GROUNDS)], 1)
            colours = colours.reshape(-1, len(COLOURS) + 1)
            of_shapes = F.cross_entropy(colours, seen.flatten())
            total = total + of_shapes + 0.5 * F.binary_cross_entropy_with_logits(backgrounds, grounds)
            there = seen.flatten() < len(COLOURS)
            right[name] = float((colours.argmax(-1) == seen.flatten())[there].float().mean())
        return total, right
