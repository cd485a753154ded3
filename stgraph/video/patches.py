"""A weight-free descriptor of image patches: colour and gradients, made for cosine similarity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError

CELL = 8  # pixels per side a patch is resized to
PARTS = 2  # each patch is described in PARTS x PARTS quarters
# Shares of 1, 2, 3 times an angle that grows by STEP a unit of the value: pi is a half turn, "as different as can be".
LIGHT_WEIGHTS, LIGHT_STEP = (0.45, 0.35, 0.2), 1.5 * np.pi
CHROMA_WEIGHTS, CHROMA_STEP = (0.6, 0.4), 8 * np.pi
CONTRAST_WEIGHTS, CONTRAST_STEP = (1.0,), 8 * np.pi
ORIENTATIONS = 8
FLAT = 0.02  # where gradients (in L per pixel) favour no orientation by more than about this, a patch counts as flat
SHARES = {"light": 0.35, "chroma": 0.35, "contrast": 0.1, "texture": 0.2}


@dataclass(frozen=True, kw_only=True)
class PatchEncoder:
    """Normalised colour and gradient descriptors of the cells of a grid; runs anywhere, without semantics.

    A cell is scaled to 8 x 8 pixels, converted to OKLab (L light, a and b chroma), and described in quarters: means of
    L, a and b, standard deviation of L, and a histogram of L's gradients over 8 orientations, minus its mean, with
    another bin for "flat". A mean or deviation v enters as pairs sqrt(w_k) (cos kcv, sin kcv), whose inner product is
    the kernel sum_k w_k cos(kc(v - v')): 1 for equal values, negative for distant ones. Each block is scaled to a fixed
    length, so all descriptors have length 1, and the cosine is a weighted mean over the blocks.

    Attributes
    ----------
    grid : (H, W), cells per frame
    """

    grid: tuple[int, int] = (16, 16)

    def __post_init__(self) -> None:
        if len(self.grid) != 2 or min(self.grid) < 1 or max(self.grid) > 256:
            raise InputError(f"grid is {self.grid}; it must be height x width, 1 to 256 each")

    @property
    def settings(self) -> Mapping[str, Any]:
        """The values that determine the features."""
        return {"encoder": "patches", "encoder_version": 1, "grid": list(self.grid)}

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata a dump records."""
        return {"encoder": "patches", "encoder_version": 1, "pooling": "none", "projector": "none"}

    def encode(self, rgb: Array) -> tuple[Array, Mapping[str, Array]]:
        """[B, H, W, 100] float32 descriptors of length 1 of [B, h, w, 3] uint8 frames; no signals."""
        return np.stack([self._one(frame) for frame in rgb]), {}

    def _one(self, rgb: Array) -> Array:
        H, W = self.grid
        lab = _oklab(_box(rgb, H * CELL, W * CELL))
        n = CELL // PARTS
        parts = (
            lab.reshape(H, PARTS, n, W, PARTS, n, 3).transpose(0, 3, 1, 4, 2, 5, 6).reshape(H, W, PARTS**2, n * n, 3)
        )
        mean, deviation = parts.mean(axis=3), parts.std(axis=3)
        blocks = {
            "light": _code(mean[..., :1], LIGHT_STEP, LIGHT_WEIGHTS),
            "chroma": _code(mean[..., 1:], CHROMA_STEP, CHROMA_WEIGHTS),
            "contrast": _code(deviation[..., :1], CONTRAST_STEP, CONTRAST_WEIGHTS),
            "texture": _texture(lab[..., 0], H, W),
        }
        scaled = [np.sqrt(SHARES[name]) * _unit(values.reshape(H, W, -1)) for name, values in blocks.items()]
        return np.concatenate(scaled, axis=2).astype(np.float32)


def _box(rgb: Array, height: int, width: int) -> Array:
    """[height, width, 3] float32 in [0, 1]: means over boxes of whole pixels, repeated if there are too few."""
    rows = np.arange(height + 1) * rgb.shape[0] // height
    columns = np.arange(width + 1) * rgb.shape[1] // width
    sums = np.add.reduceat(rgb, rows[:-1], axis=0, dtype=np.int32)
    sums = np.add.reduceat(sums, columns[:-1], axis=1, dtype=np.int32)
    counts = np.maximum(np.diff(rows), 1)[:, None] * np.maximum(np.diff(columns), 1)
    return np.asarray(sums / (np.float32(255) * counts[..., None].astype(np.float32)))


def _oklab(rgb: Array) -> Array:
    """sRGB in [0, 1] to OKLab (Ottosson 2020), in which equal distances look about equally large."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
    to_lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ],
        np.float32,
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ],
        np.float32,
    )
    return np.asarray(np.cbrt(linear @ to_lms.T) @ to_lab.T)


def _code(values: Array, step: float, weights: tuple[float, ...]) -> Array:
    """[..., 2k]: pairs whose inner product is sum_k w_k cos(k step (v - v'))."""
    k = np.arange(1, len(weights) + 1)
    angles = values[..., None] * (k * step)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1) * np.sqrt(weights)[:, None]


def _texture(light: Array, H: int, W: int) -> Array:
    """[H, W, parts, 9]: the strength of each gradient orientation in each part, and a bin for no orientation."""
    down, right = np.gradient(light)
    size = np.hypot(down, right)
    place = (np.arctan2(down, right) % np.pi) * (
        ORIENTATIONS / np.pi
    )  # a gradient and its opposite are one orientation
    low = np.floor(place)
    part = place - low  # the nearer of two neighbouring bins gets the larger share
    n = CELL // PARTS
    histogram = np.empty((H, W, PARTS**2, ORIENTATIONS), np.float32)
    for o in range(ORIENTATIONS):
        votes = size * ((low % ORIENTATIONS == o) * (1 - part) + ((low + 1) % ORIENTATIONS == o) * part)
        means = votes.reshape(H, PARTS, n, W, PARTS, n).mean(axis=(2, 5))
        histogram[..., o] = means.transpose(0, 2, 1, 3).reshape(H, W, PARTS**2)
    favoured = histogram - histogram.mean(axis=-1, keepdims=True)
    return np.concatenate([favoured, np.full((H, W, PARTS**2, 1), FLAT, np.float32)], axis=-1)


def _unit(values: Array) -> Array:
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True))
