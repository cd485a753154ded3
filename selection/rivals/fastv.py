"""FastV: the most-attended tokens in an early layer of the LLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.selection.algorithms.attention_cut import AttentionCut
from stgraph.selection.budget import Budget
from stgraph.selection.integers import check_layer
from stgraph.selection.method import Choice
from stgraph.selection.reasons import ATTENTION
from stgraph.selection.stages import Stage
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class FastV(AttentionCut):
    """FastV (arXiv 2403.06764, ``src/FastV``): before decoder layer ``layer``, the tokens kept are those the last
    prompt token attends to most in the layer before, mean over heads.

    The layers before ``layer`` see all tokens: ``measured="layers"`` takes that into account.

    Attributes
    ----------
    budget : how many tokens to keep
    layer : first decoder layer, from 0, that sees only the kept tokens; at least 1
    n_layers : decoder layers of the LLM

    Raises
    ------
    InputError
        no such layer
    """

    layer: int = 2
    n_layers: int = 28

    name: ClassVar[str] = "fastv"
    paper: ClassVar[str] = "FastV, ECCV 2024"
    on_gpu: ClassVar[bool] = True
    requires: ClassVar[frozenset[str]] = AttentionCut.needs

    def __post_init__(self) -> None:
        check_layer(self.layer, self.n_layers)

    def stages(self) -> tuple[Stage, ...]:
        """A single cut, before ``layer``."""
        return (self.inner_stage(),)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The ``n_keep`` most-attended tokens."""
        from stgraph.kernels.cpu.top import top_of

        attention = self.attention_of(tokens)
        nodes = np.flatnonzero(top_of(attention, np.arange(attention.size), n_keep))
        return Choice(
            nodes=nodes,
            reason=ATTENTION,
            scores=attention[nodes],
            n_input=tokens.grid.n_nodes,
            prune_layer=self.layer,
            report={"attention_layer": self.layer - 1, "attention_kept": _share(attention, nodes)},
        )


def _share(attention: Array, nodes: Array) -> float:
    """Share of the attention to visual tokens that goes to ``nodes``."""
    total = float(attention.sum())
    return float(attention[nodes].sum()) / total if total > 0 else 0.0
