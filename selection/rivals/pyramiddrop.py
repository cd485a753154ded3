"""PyramidDrop: progressively fewer tokens towards deeper LLM layers, by the attention of each cut's own layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.selection.algorithms.layer_cuts import check_layers, count_after_cuts
from stgraph.selection.budget import Budget, exact_ratio
from stgraph.selection.choice import Choice
from stgraph.selection.method import Method, approximate
from stgraph.selection.reasons import ATTENTION
from stgraph.selection.result import Selection
from stgraph.selection.signals.attention import layer_attention
from stgraph.selection.stages import AttentionRead, Stage, Waiting
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class PyramidDrop(Method):
    """PyramidDrop (CVPR 2025, arXiv 2410.17247; ``llava/model/modeling_llama_pdrop.py``): before each of several
    decoder layers, the tokens kept are those the last prompt token attends to most in that layer, mean over heads.

    The last cut leaves K tokens, and earlier cuts proportionally more, by the ratios. ``measured="layers"`` makes the
    mean over all layers the budget. Scores are the attention in the last cut's layer.

    Attributes
    ----------
    budget : how many tokens to keep
    layers : decoder layers, from 0, ascending, before which tokens are cut, by their own attention; each at least 1
    ratios : tokens left by each cut, relative to each other, not ascending
    n_layers : decoder layers of the LLM

    Raises
    ------
    InputError
        invalid layers or ratios
    """

    layers: tuple[int, ...] = (8, 16, 24)
    ratios: tuple[float, ...] = (0.5, 0.25, 0.125)
    n_layers: int = 28

    name: ClassVar[str] = "pyramiddrop"
    paper: ClassVar[str] = "PyramidDrop, CVPR 2025"
    on_gpu: ClassVar[bool] = True
    requires: ClassVar[frozenset[str]] = frozenset({"llm_attn_last", "llm_attn_layers", "seq_index"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", check_layers(self.layers, self.n_layers, 1))
        object.__setattr__(self, "ratios", tuple(np.atleast_1d(self.ratios).tolist()))
        if len(self.ratios) != len(self.layers) or any(b > a for a, b in pairwise(self.ratios)):
            raise InputError(f"ratios is {self.ratios!r}; it must be as many as layers, none above the one before it")
        for ratio in self.ratios:
            exact_ratio(ratio, "ratios")

    @property
    def prune_layer(self) -> int:  # type: ignore[override]
        """The layer from which on K tokens are left."""
        return self.layers[-1]

    def stages(self) -> tuple[Stage, ...]:
        """A cut before each of ``layers``, by the attention of exactly that layer."""
        return tuple(Stage(layer, AttentionRead(layer, fixed=True)) for layer in self.layers)

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` lack the attention of one of ``layers``."""
        for layer in self.layers:
            layer_attention(tokens, layer, self.name)

    def cuts(self, n_nodes: int, n_keep: int) -> tuple[tuple[int, int], ...]:
        """(layer, tokens left) of each cut where the last leaves ``n_keep`` of ``n_nodes``."""
        last = exact_ratio(self.ratios[-1])
        counts = [min(n_nodes, -int(-n_keep * exact_ratio(ratio) // last)) for ratio in self.ratios]
        return tuple(zip(self.layers, counts, strict=True))

    def _n_keep(self, grid: TokenGrid, budget: Budget) -> int:
        """Number of tokens left by the last cut."""
        return count_after_cuts(grid, budget, self.n_layers, partial(self.cuts, grid.n_nodes))

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The ``n_keep`` tokens left by all cuts."""
        from stgraph.kernels.cpu.top import top_of

        nodes = np.arange(tokens.grid.n_nodes)
        cuts = self.cuts(nodes.size, n_keep)
        for layer, count in cuts:
            attention = layer_attention(tokens, layer, self.name)
            nodes = np.flatnonzero(top_of(attention, nodes, count))
        reasons = ["attention of the sequence before the first cut"] if len(cuts) > 1 else []
        return Choice(
            nodes=nodes,
            reason=ATTENTION,
            scores=attention[nodes],
            exactness=approximate(*reasons),
            n_input=tokens.grid.n_nodes,
            prune_layer=self.prune_layer,
            cuts=cuts if len(cuts) > 1 else (),
            report={"left": [count for _, count in cuts]},
        )

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Cut step by step, each by the attention among the tokens left by earlier cuts."""
        n = tokens.grid.n_tokens
        if self.keeps_all(tokens.grid):
            return self.select(self._with(tokens, [np.zeros(n)] * len(self.layers)))
        return self._after(tokens, [])

    def _after(self, tokens: VideoTokens, seen: list[Array]) -> Selection | Waiting:
        """The selection, or the state waiting for the next layer, given the attention of the first layers."""
        from stgraph.kernels.cpu.top import top_of

        if len(seen) == len(self.layers):
            return replace(self.select(self._with(tokens, seen)), exactness="exact")
        grid = self.budget.lattice(tokens.grid, self.newlines)
        nodes = np.arange(grid.n_nodes)
        cuts = self.cuts(grid.n_nodes, self._n_keep(grid, self.budget))
        for attention, (_, count) in zip(seen, cuts, strict=False):
            nodes = np.flatnonzero(top_of(attention[grid.rows].astype(np.float64), nodes, count))
        left = grid.rows[nodes] if seen else None
        stage = self.stages()[len(seen)]
        return Waiting(stage, left, lambda attention: self._after(tokens, [*seen, _float32(attention)]))

    def _with(self, tokens: VideoTokens, attention: list[Array]) -> VideoTokens:
        """The tokens with attention to each row, [n] per layer, as a dump would carry it."""
        signals: dict[str, Array] = {
            "llm_attn_last": np.stack(attention).astype(np.float32),
            "llm_attn_layers": np.array(self.layers, np.int32),
            "seq_index": np.arange(tokens.grid.n_tokens),
        }
        return VideoTokens(tokens.features, tokens.grid, signals, tokens.metadata)


def _float32(attention: Any) -> Array:
    """Rounded as in a dump, so that both ways rank alike."""
    found: Array = to_host(attention).astype(np.float32)
    return found
