"""FitPrune: tokens attended to by neither text nor other visual tokens are deleted layer by layer, by a fixed table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.errors import InputError, MissingSignalError
from stgraph.grid import TokenGrid
from stgraph.selection.algorithms.layer_cuts import count_after_cuts
from stgraph.selection.budget import Budget
from stgraph.selection.choice import Choice, keep_everything
from stgraph.selection.finite import check_features
from stgraph.selection.integers import check_integer
from stgraph.selection.method import FittedMethod, approximate
from stgraph.selection.reasons import ATTENTION
from stgraph.selection.result import Selection
from stgraph.selection.signals.attention import at_nodes
from stgraph.selection.stages import AttentionRead, Stage, Waiting
from stgraph.tokens import VideoTokens

# The authors' table for a ratio of 60 %, of LLaVA-1.5: tokens deleted of 576, by layer.
TOKENS_OF_TABLE = 576
TABLE: Mapping[int, int] = {
    0: 14,
    1: 33,
    2: 89,
    3: 36,
    4: 36,
    5: 20,
    6: 55,
    7: 21,
    8: 18,
    9: 4,
    10: 7,
    11: 5,
    12: 2,
    13: 5,
    14: 7,
    15: 4,
    16: 26,
    17: 5,
    18: 11,
    19: 24,
    20: 4,
    21: 18,
    22: 2,
    23: 1,
    26: 1,
    28: 1,
}


@dataclass(frozen=True, kw_only=True)
class FitPrune(FittedMethod):
    """FitPrune (AAAI 2025, arXiv 2409.10197; ``LLaVA_1.5/llava/model/language_model/modeling_llama.py``): in each of
    several layers, the tokens with the smallest self x cross attention are deleted.

    Cross attention of a token is the sum over the text after the video, self attention the mean over the visual tokens,
    both of the maximum over heads. Layers after a deletion do not see deleted tokens. Scores are the products in the
    last layer that deletes.

    Attributes
    ----------
    deletions : decoder layer, from 0 -> number of tokens deleted there, relative to each other; None for the authors'
        table of 60 %, made for the 576 tokens and 32 layers of LLaVA-1.5
    n_layers : decoder layers of the LLM
    exact_count : True scales deletions so that K tokens are left, by largest remainder; False scales the table by N /
        576, rounded down
    """

    deletions: Mapping[int, int] | None = None
    n_layers: int = 32

    name: ClassVar[str] = "fitprune"
    paper: ClassVar[str] = "FitPrune, AAAI 2025"
    on_gpu: ClassVar[bool] = True
    requires: ClassVar[frozenset[str]] = frozenset(
        {"llm_attn_text_sum", "llm_attn_visual_mean", "llm_attn_layers", "seq_index"}
    )

    def __post_init__(self) -> None:
        check_integer("n_layers", self.n_layers, 2)
        given = TABLE if self.deletions is None else self.deletions
        try:
            table = {int(layer): int(count) for layer, count in dict(given).items()}
        except (TypeError, ValueError):
            table = {}
        if not table or min(table) < 0 or min(table.values()) < 0 or sum(table.values()) == 0:
            raise InputError(
                f"deletions is {self.deletions!r}; it must be None or a mapping of layers to tokens, some above 0"
            )
        if max(table) >= self.n_layers - 1:
            raise InputError(
                f"deletions names layer {max(table)}; an LLM of {self.n_layers} layers (n_layers) has none after it"
            )

    @property
    def _table(self) -> dict[int, int]:
        given = TABLE if self.deletions is None else self.deletions
        return {int(layer): int(given[layer]) for layer in sorted(given, key=int) if int(given[layer])}

    @property
    def prune_layer(self) -> int:  # type: ignore[override]
        """The first layer that sees at most K tokens."""
        return max(self._table) + 1

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` lack the attention of a layer with deletions."""
        super().check_signals(tokens)
        saved = tokens.signals["llm_attn_layers"].tolist()
        lost = [layer for layer in self._table if layer not in saved]
        if lost:
            raise MissingSignalError(
                f"{self.name} needs the signals 'llm_attn_text_sum' and 'llm_attn_visual_mean' of decoder layer "
                f"{lost[0]}; saved are layers {', '.join(map(str, saved))}"
            )

    def _deleted(self, n: int, n_keep: int) -> dict[int, int]:
        """Number of tokens to delete in each layer."""
        table = self._table
        if not self.exact_count:
            return {layer: count * n // TOKENS_OF_TABLE for layer, count in table.items()}
        counts, total = np.array(list(table.values()), np.int64), sum(table.values())
        scaled = (n - n_keep) * counts
        found = scaled // total
        order = np.argsort(-(scaled % total), kind="stable")
        found[order[: n - n_keep - int(found.sum())]] += 1
        return dict(zip(table, found.tolist(), strict=True))

    def _cuts(self, n: int, n_keep: int) -> tuple[tuple[int, int], ...]:
        """(first layer that sees fewer, tokens left) of each deletion."""
        left, found = n, []
        for layer, count in self._deleted(n, n_keep).items():
            left = max(1, left - count)
            found.append((layer + 1, left))
        return tuple(found)

    def _n_keep(self, grid: TokenGrid, budget: Budget) -> int:
        """Number of tokens left by the last cut."""
        if not self.exact_count:
            return budget.count(grid)
        return count_after_cuts(grid, budget, self.n_layers, partial(self._cuts, grid.n_nodes))

    def stages(self) -> tuple[Stage, ...]:
        """Behind each layer that deletes, by its attention and no other."""
        return tuple(Stage(layer + 1, AttentionRead(layer, fixed=True, by="product")) for layer in self._table)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The tokens left by all deletions."""
        n = tokens.grid.n_nodes
        saved = tokens.signal("llm_attn_layers", self.name).tolist()
        nodes, cuts = np.arange(n), []
        for layer, count in self._deleted(n, n_keep).items():
            cross, own = (
                at_nodes(tokens, tokens.signal(name, self.name)[saved.index(layer)], name, self.name, layer)
                for name in ("llm_attn_text_sum", "llm_attn_visual_mean")
            )
            product = cross * own
            nodes = _left(nodes, product, count)
            cuts.append((layer + 1, int(nodes.size)))
        reasons = ["attention of the sequence before the first deletion"] if len(cuts) > 1 else []
        return self._choice(nodes, product, n, cuts, reasons)

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Deletion by deletion, each by the attention among what the ones before have left."""
        check_features(tokens)
        view = self.budget.view(tokens, self.newlines)
        n, rows, n_keep = view.grid.n_nodes, view.grid.rows, self._n_keep(view.grid, self.budget)
        if self.exact_count and n_keep == n:
            return self.finish(keep_everything(view), tokens, view, self.budget)
        deleted = tuple(self._deleted(n, n_keep).items())

        def after(nodes: Array, product: Array, cuts: list[tuple[int, int]]) -> Selection | Waiting:
            while len(cuts) < len(deleted) and not deleted[len(cuts)][1]:
                cuts = [*cuts, (deleted[len(cuts)][0] + 1, int(nodes.size))]
            if len(cuts) == len(deleted):
                return self.finish(self._choice(nodes, product, n, cuts, []), tokens, view, self.budget)
            at, count = deleted[len(cuts)]

            def resume(attention: Any) -> Selection | Waiting:
                found = to_host(attention)[rows].astype(np.float64)
                left = _left(nodes, found, count)
                return after(left, found, [*cuts, (at + 1, int(left.size))])

            return Waiting(self.stages()[len(cuts)], rows[nodes] if nodes.size < n else None, resume)

        return after(np.arange(n), np.zeros(n), [])

    def _choice(self, nodes: Array, product: Array, n: int, cuts: list[tuple[int, int]], reasons: list[str]) -> Choice:
        return Choice(
            nodes,
            ATTENTION,
            product[nodes],
            exactness=approximate(*reasons),
            n_input=n,
            prune_layer=self.prune_layer,
            cuts=tuple(cuts) if len(cuts) > 1 else (),
            report={"left": [left for _, left in cuts]},
        )


def _left(nodes: Array, product: Array, count: int) -> Array:
    """Of ``nodes`` those that stay if ``count`` of least product go; one at least."""
    from stgraph.kernels.cpu.top import top_of

    return np.flatnonzero(top_of(product, nodes, max(1, nodes.size - count)))
