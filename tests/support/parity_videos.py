"""The videos on which selectors run beside their plain restatements."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from selection_oracles import features

from stgraph import TokenGrid, VideoTokens
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """One video and one budget.

    Attributes
    ----------
    kind : structure of the features, see :func:`lattice`
    budget : a retain ratio (float) or a number of tokens (int)
    newlines : the dump has a newline token after each row of patches
    """

    kind: str
    T: int
    H: int
    W: int
    d: int
    budget: float | int
    dtype: str = "float32"
    newlines: bool = False
    seed: int = 0

    def __str__(self) -> str:
        extra = "+newlines" if self.newlines else ""
        return f"{self.kind}-{self.T}x{self.H}x{self.W}x{self.d}-{self.dtype}{extra}-{self.budget}"

    @property
    def exact(self) -> bool:
        """Cosines are multiples of 1/16 and attention of 1/8: exact in float32, with many ties and no noise."""
        return self.kind == "signs"

    def limits(self) -> dict[str, Any]:
        """The budget as arguments of ``stgraph.selector``."""
        return {"n_keep": self.budget} if isinstance(self.budget, int) else {"retain_ratio": self.budget}

    def count(self, n: int) -> int:
        """ceil(r n), of the decimal r."""
        return self.budget if isinstance(self.budget, int) else math.ceil(Fraction(str(self.budget)) * n)

    def ratio(self, n: int) -> Fraction:
        """r; n_keep / n where a number of tokens was given."""
        return Fraction(self.budget, n) if isinstance(self.budget, int) else Fraction(str(self.budget))

    def tokens(self) -> VideoTokens:
        """The video with every signal."""
        return _tokens(self.kind, self.T, self.H, self.W, self.d, self.dtype, self.newlines, self.seed)

    def video(self, newlines_in: bool = False) -> Video:
        """The same video for a restatement."""
        return _video(self, newlines_in)


# Every value of each axis, and the combinations in which methods break: T = 1, T = 2, odd groups of four, more frames
# than tokens kept, fewer tokens kept than a frame has, rows and columns of one, nothing but ties.
CASES: tuple[Case, ...] = (
    Case("scenes", 1, 7, 7, 16, 0.3),
    Case("scenes", 1, 27, 27, 12, 0.1, newlines=True),
    Case("scenes", 2, 13, 13, 12, 0.15),
    Case("scenes", 2, 27, 27, 8, 0.5, dtype="bfloat16"),
    Case("scenes", 5, 7, 7, 16, 0.1),
    Case("scenes", 5, 7, 7, 16, 0.3, newlines=True),
    Case("scenes", 5, 13, 13, 24, 0.3, dtype="bfloat16", newlines=True),
    Case("scenes", 5, 6, 4, 16, 1.0),
    Case("scenes", 5, 4, 6, 16, 1.0, newlines=True),
    Case("scenes", 33, 3, 5, 12, 0.15),
    Case("scenes", 33, 5, 4, 12, 0.3, newlines=True),
    Case("scenes", 33, 4, 4, 8, 0.5, dtype="bfloat16"),
    Case("scenes", 64, 4, 4, 12, 0.1),
    Case("scenes", 64, 3, 4, 12, 0.3),
    Case("scenes", 64, 4, 3, 8, 0.5, newlines=True),
    Case("scenes", 12, 7, 7, 16, 0.25),
    Case("scenes", 8, 8, 8, 16, 0.2, newlines=True),
    Case("random", 1, 5, 6, 12, 0.5),
    Case("random", 2, 4, 7, 12, 0.3),
    Case("random", 5, 7, 7, 12, 0.5, newlines=True),
    Case("random", 5, 6, 7, 12, 0.15, dtype="bfloat16"),
    Case("random", 7, 5, 5, 12, 0.3),
    Case("random", 9, 4, 5, 12, 0.7),
    Case("random", 33, 3, 3, 12, 0.15, newlines=True),
    Case("random", 64, 2, 3, 12, 0.3),
    Case("random", 5, 1, 6, 12, 0.5),
    Case("random", 5, 6, 1, 12, 0.3),
    Case("random", 6, 1, 1, 12, 0.5),
    Case("random", 1, 1, 9, 12, 0.3),
    Case("random", 5, 4, 4, 12, 0.9),
    Case("random", 5, 7, 7, 12, 3),  # below T
    Case("random", 5, 4, 5, 12, 5),  # one a frame
    Case("random", 5, 5, 5, 12, 17),  # below P
    Case("random", 3, 4, 4, 12, 1),
    Case("random", 4, 4, 4, 12, 63),  # all but one
    Case("random", 33, 2, 4, 12, 20, newlines=True),  # below T and above P
    Case("random", 64, 2, 2, 12, 0.1),
    Case("identical", 2, 4, 4, 12, 0.3),
    Case("identical", 5, 7, 7, 12, 0.3),
    Case("identical", 5, 4, 5, 12, 0.15, newlines=True),
    Case("identical", 33, 3, 4, 12, 0.5, dtype="bfloat16"),
    Case("identical", 8, 4, 4, 12, 0.1),
    Case("cut", 5, 7, 7, 16, 0.3),
    Case("cut", 8, 5, 4, 16, 0.15, newlines=True),
    Case("cut", 33, 4, 4, 12, 0.3),
    Case("cut", 6, 4, 4, 12, 0.5, dtype="bfloat16"),
    Case("zeros", 1, 4, 4, 12, 0.3),
    Case("zeros", 5, 7, 7, 12, 0.3),
    Case("zeros", 8, 4, 4, 12, 0.15, newlines=True),
    Case("zeros", 5, 5, 5, 12, 0.5, dtype="bfloat16"),
    Case("nothing", 4, 3, 3, 12, 0.3),
    Case("signs", 1, 5, 5, 16, 0.3),
    Case("signs", 2, 4, 4, 16, 0.5),
    Case("signs", 5, 7, 7, 16, 0.3),
    Case("signs", 9, 4, 4, 16, 0.15),
    Case("signs", 33, 3, 4, 16, 0.3, newlines=True),
    Case("signs", 8, 5, 5, 16, 0.5, dtype="bfloat16"),
    Case("signs", 6, 4, 5, 16, 5),
)


def cases(*kinds: str) -> list[Case]:
    """All cases, or those of some kinds."""
    return [case for case in CASES if not kinds or case.kind in kinds]


def lattice(kind: str, shape: tuple[int, int, int, int], seed: int = 0) -> Array:
    """[T, H, W, d] float32 features.

    ``scenes``: still regions and moving objects, a new shot every 16 frames; ``random``: around one direction, with
    heavy tails; ``identical``: all frames the same; ``cut``: two stills with little noise; ``zeros``: every fifth
    token 0; ``nothing``: all 0; ``signs``: entries of +-1 that seldom change, and a few zero vectors.
    """
    rng = np.random.default_rng(seed)
    T, H, W, d = shape
    if kind == "scenes":
        return synthetic_tokens(T, H, W, d, seed=seed)
    if kind == "identical":
        return np.repeat(synthetic_tokens(1, H, W, d, seed=seed), T, axis=0)
    if kind == "cut":
        stills = np.concatenate([synthetic_tokens(1, H, W, d, seed=seed + s) for s in range(2)])
        shot = (np.arange(T) > T // 2).astype(int)
        return (stills[shot] + 0.05 * rng.standard_normal(shape)).astype(np.float32)
    if kind == "nothing":
        return np.zeros(shape, np.float32)
    if kind == "signs":
        signs = np.where(rng.random((H, W, d)) < 0.15, -1.0, 1.0)
        change = np.cumprod(np.where(rng.random(shape) < 0.06, -1.0, 1.0), axis=0)
        alive = rng.random(shape[:3]) > 0.03
        return (signs * change * alive[..., None]).astype(np.float32)
    x = features(seed, shape)
    if kind == "zeros":
        x.reshape(-1, d)[::5] = 0
    return x


@cache
def _tokens(kind: str, T: int, H: int, W: int, d: int, dtype: str, newlines: bool, seed: int) -> VideoTokens:
    x = lattice(kind, (T, H, W, d), seed).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    tokens = VideoTokens.from_array(x)
    if newlines:
        newline = np.random.default_rng(seed + 1).choice([-1.0, 1.0], d).astype(x.dtype)
        rows = np.concatenate([x, np.broadcast_to(newline, (T, H, 1, d))], axis=2).reshape(-1, d)
        tokens = VideoTokens(rows, TokenGrid(T, H, W, np.tile(np.r_[np.zeros(W), 1].astype(np.uint8), T * H)))
    tokens = synthetic_signals(tokens, seed, d_encoder=16)
    if kind != "signs":
        return tokens
    coarse = {
        name: np.round(values / values.max() * 8) / 8 if "attn" in name and values.dtype.kind == "f" else values
        for name, values in tokens.signals.items()
    }
    return VideoTokens(tokens.features, tokens.grid, {**tokens.signals, **coarse}, tokens.metadata)


@dataclass(frozen=True, eq=False)
class Video:
    """What a restatement sees: the nodes that count, and nothing of the library.

    Attributes
    ----------
    x : [T, H, W, d] float64; W includes the newline column where newlines are nodes
    row_of : [N] the row of each node in the dump
    signals : as the dump has them
    known : cosines computed before
    """

    x: Array
    row_of: Array
    signals: Mapping[str, Array]
    known: dict[tuple[int, int], float] = field(default_factory=dict)

    @classmethod
    def of(cls, tokens: VideoTokens, newlines_in: bool = False) -> Video:
        """Newline tokens are nodes where ``newlines_in`` and the dump has them."""
        T, H, _ = tokens.grid.shape
        kind = tokens.grid.kind
        counted = np.ones(tokens.grid.n_tokens, np.bool_) if kind is None else kind <= (1 if newlines_in else 0)
        row_of = np.flatnonzero(counted)
        all_rows = tokens.features.reshape(-1, tokens.dimension).astype(np.float64)
        return cls(all_rows[row_of].reshape(T, H, row_of.size // (T * H), -1), row_of, tokens.signals)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""
        T, H, W, _ = self.x.shape
        return T, H, W

    @property
    def rows(self) -> Array:
        """[N, d]."""
        return self.x.reshape(-1, self.x.shape[-1])

    @property
    def n(self) -> int:
        """N."""
        return int(self.row_of.size)

    def cosine(self, a: int, b: int) -> float:
        """0 where one of the two is zero."""
        if (a, b) not in self.known:
            self.known[a, b] = cosine(self.rows[a], self.rows[b])
        return self.known[a, b]


def cosine(u: Array, v: Array) -> float:
    """The cosine, 0 for a zero vector; to 12 places, so that what is equal on paper is equal here."""
    length = math.sqrt(float(u @ u)) * math.sqrt(float(v @ v))
    return round(float(u @ v) / length, 12) if length else 0.0


@cache
def _video(case: Case, newlines_in: bool) -> Video:
    return Video.of(case.tokens(), newlines_in)
