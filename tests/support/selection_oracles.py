"""ST-SimDiff restated plainly: loops, exact fractions, float64. Slow, and the reference for the real one.

Scores that decide something and lie closer together than float32 can tell apart would make the comparison a matter of
luck. Every oracle therefore keeps its ``margin``: the smallest non-zero distance that decided anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Edges = dict[tuple[int, int], float]


def features(seed: int, shape: tuple[int, ...], noise: float = 0.4) -> Array:
    """Random float32 features around a common direction: similarities on both sides of the thresholds."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal(shape[-1]) + noise * rng.standard_cauchy(shape[:-1])[..., None] * rng.standard_normal(
        shape
    )
    return drawn.astype(np.float32)


@dataclass
class Margin:
    """The smallest non-zero distance seen."""

    value: float = math.inf

    def note(self, distance: float) -> None:
        if distance != 0:
            self.value = min(self.value, abs(distance))


@dataclass
class Expected:
    """What a selection must be."""

    representatives: set[int]
    events: set[int]
    kept: list[int]
    margin: float


@dataclass
class Oracle:
    """One video, token by token."""

    x: Array
    margin: Margin = field(default_factory=Margin)

    def __post_init__(self) -> None:
        self.T, self.H, self.W, d = self.x.shape
        self.rows = self.x.reshape(-1, d).astype(np.float64)
        self.norms = [math.sqrt(float(row @ row)) for row in self.rows]
        self.spatial: dict[str, Edges] = {"right": {}, "bottom": {}}
        self.temporal: Edges = {}
        for t in range(self.T):
            for h in range(self.H):
                for w in range(self.W):
                    i = (t * self.H + h) * self.W + w
                    if w + 1 < self.W:
                        self.spatial["right"][i, i + 1] = self.cosine(i, i + 1)
                    if h + 1 < self.H:
                        self.spatial["bottom"][i, i + self.W] = self.cosine(i, i + self.W)
                    if t + 1 < self.T:
                        j = i + self.H * self.W
                        self.temporal[i, j] = self.cosine(i, j)

    def cosine(self, a: int, b: int) -> float:
        if self.norms[a] == 0 or self.norms[b] == 0:
            return 0.0
        return float((self.rows[a] * self.rows[b]).sum()) / (self.norms[a] * self.norms[b])

    def components(self, tau_sim: float, families: Iterable[str] = ("right", "bottom", "temporal")) -> list[list[int]]:
        """Connected components of G' = {(i, j): w > tau_sim}, by smallest token."""
        edges: Edges = {}
        for family in families:
            edges |= self.temporal if family == "temporal" else self.spatial[family]
        group = list(range(len(self.rows)))
        for (a, b), weight in edges.items():
            self.margin.note(weight - tau_sim)
            if weight > tau_sim:
                old, new = max(group[a], group[b]), min(group[a], group[b])
                group = [new if g == old else g for g in group]
        return [[i for i, g in enumerate(group) if g == first] for first in sorted(set(group))]

    def centrality(self, community: list[int]) -> dict[int, float]:
        """Equation 4: the mean similarity to all other tokens of the community; 1 for a token on its own."""
        if len(community) == 1:
            return {community[0]: 1.0}
        return {a: sum(self.cosine(a, b) for b in community if b != a) / (len(community) - 1) for a in community}

    def difference(self) -> list[float]:
        """1 - similarity to the frame before; 0 in the first frame."""
        difference = [0.0] * len(self.rows)
        for (_, later), weight in self.temporal.items():
            difference[later] = 1 - weight
        return difference

    def events(self, tau_diff: float | str) -> set[int]:
        """Equation 6, or the tokens whose difference exceeds a percentile of all differences."""
        if not self.temporal:
            return set()
        if not isinstance(tau_diff, str):
            for weight in self.temporal.values():
                self.margin.note(weight - tau_diff)
            return {later for (_, later), weight in self.temporal.items() if weight < tau_diff}
        ordered = sorted(1 - weight for weight in self.temporal.values())
        place = float(tau_diff[1:]) / 100 * (len(ordered) - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        bound = low + (high - low) * (place - math.floor(place))
        for difference in ordered:
            self.margin.note(difference - bound)
        return {later for (_, later), weight in self.temporal.items() if 1 - weight > bound}

    def top(self, scores: dict[int, float], k: int) -> set[int]:
        """The k largest; among equals the smaller index."""
        ranked = sorted(scores, key=lambda i: (-scores[i], i))
        if 0 < k < len(ranked):
            self.margin.note(scores[ranked[k - 1]] - scores[ranked[k]])
        return set(ranked[:k])

    def select(
        self,
        communities: list[list[int]],
        ratio: Fraction,
        tau_diff: float | str = 0.2,
        importance: str | Array = "difference-then-centrality",
        protect_events: bool = False,
    ) -> Expected:
        """Sections 4.3 to 4.5: representatives and events, cut to N_target = ceil(r N)."""
        centrality: dict[int, float] = {}
        representatives: set[int] = set()
        for community in communities:
            scores = self.centrality(community)
            centrality |= scores
            representatives |= self.top(scores, math.ceil(len(community) * ratio))
        events = self.events(tau_diff)
        difference = self.difference()
        values: dict[int, float] = {}
        for i in range(len(self.rows)):
            if not isinstance(importance, str):
                values[i] = float(importance.reshape(-1)[i])
            elif importance == "difference-then-centrality":
                values[i] = 2 + difference[i] if i in events else centrality[i]
            else:
                values[i] = {"centrality": centrality[i], "difference": difference[i], "norm": self.norms[i]}[
                    importance
                ]
        n_target = math.ceil(len(self.rows) * ratio)
        candidates = representatives | events
        if protect_events:
            kept = self.top({i: values[i] for i in events}, n_target)
            rest = {i: values[i] for i in candidates - events}
            kept |= self.top(rest, n_target - len(kept))
        else:
            kept = self.top({i: values[i] for i in candidates}, n_target)
        return Expected(representatives, events, sorted(kept), self.margin.value)
