"""Selectors of a third party that need attention: as a signal, in one stage, in two, in any."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph import Budget, Selection, TokenGrid, VideoTokens
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.stages import AttentionRead, Stage, Waiting

Array = np.ndarray[Any, Any]


def top(scores: Array, rows: Array, k: int) -> Array:
    """The ``k`` rows of largest score, ascending; ties to the smaller row."""
    return np.sort(rows[np.argsort(-scores[rows], kind="stable")[:k]])


def selection_of(rows: Array, scores: Array, grid: TokenGrid) -> Selection:
    k = len(rows)
    account = TokenAccount(grid.n_nodes, k, k)
    return Selection(rows, grid, np.full(k, 4, np.uint8), scores[rows].astype(np.float32), account)


class ByImportance:
    """What is least: a signal it needs, and nothing about running models."""

    name, requires = "by-importance", frozenset({"importance"})

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def count(self, grid: TokenGrid, budget: Budget | None = None) -> int | None:
        return (budget or self.budget).count(grid)

    def select(self, tokens: VideoTokens, budget: Budget | None = None) -> Selection:
        scores = tokens.signal("importance", self.name).reshape(-1)
        nodes = top(scores, np.arange(scores.size), self.count(tokens.grid, budget) or 0)
        rows = np.zeros(tokens.grid.n_tokens)
        rows[tokens.grid.rows] = scores
        return selection_of(tokens.grid.rows[nodes], rows, tokens.grid)


class Staged(ByImportance):
    """Every second patch is a candidate; the candidates are ranked by their attention among themselves."""

    name, requires = "staged", frozenset[str]()
    read = AttentionRead(2, fixed=True)

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(attention=self.read),)

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        rows = tokens.grid.rows[::2]

        def resume(attention: Array) -> Selection:
            assert attention.shape == (tokens.grid.n_tokens,)
            assert not attention[tokens.grid.rows[1::2]].any()
            return selection_of(top(attention, rows, self.count(tokens.grid) or 0), attention, tokens.grid)

        return Waiting(self.stages()[0], rows, resume)


class Twice(Staged):
    """Two stages: three quarters of the candidates by their attention, then the rest by that of those that are left."""

    name = "twice"

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        first = super().begin(tokens, layer)
        assert isinstance(first, Waiting)

        def resume(attention: Array) -> Waiting:
            left = top(attention, first.rows, 3 * len(first.rows) // 4)

            def end(again: Array) -> Selection:
                return selection_of(top(again, left, self.count(tokens.grid) or 0), again, tokens.grid)

            return Waiting(first.stage, left, end)

        return Waiting(first.stage, first.rows, resume)


class Steps:
    """At each stage the patches of most attention, or where it reads none every second one; notes what it keeps."""

    name, requires = "steps", frozenset[str]()

    def __init__(self, *stages: Stage, shares: tuple[float, ...] = (0.7, 0.5, 0.3)) -> None:
        self._stages, self._shares = stages, shares
        self.kept: list[dict[int, Array]] = []
        self.read: list[dict[int, Array]] = []

    def count(self, grid: Any, budget: Any = None) -> int | None:
        return None

    def stages(self) -> tuple[Stage, ...]:
        return self._stages

    def select(self, tokens: Any, budget: Any = None) -> Any:
        raise NotImplementedError

    def begin(self, tokens: Any, layer: int) -> Waiting:
        grid, kept, read = tokens.grid, dict[int, Array](), dict[int, Array]()
        self.kept.append(kept)
        self.read.append(read)

        def step(i: int, rows: Array) -> Any:
            stage = self._stages[i]

            def resume(attention: Array | None) -> Any:
                count = int(self._shares[i] * grid.n_nodes)
                scores = np.zeros(grid.n_tokens) if attention is None else attention
                left = rows[::2] if attention is None else top(scores, rows, min(count, len(rows)))
                kept[stage.layer], read[stage.layer] = np.searchsorted(grid.rows, left), scores[grid.rows]
                if i + 1 < len(self._stages):
                    return step(i + 1, left)
                return selection_of(left, scores, grid)

            return Waiting(stage, None if len(rows) == grid.n_nodes else rows, resume)

        return step(0, grid.rows)
