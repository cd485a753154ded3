"""SparseVLM: cuts inside the LLM by the attention of the text tokens most related to the video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import beside, to_host
from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.selection.algorithms.layer_cuts import check_layers, count_after_cuts
from stgraph.selection.algorithms.recycling import Left, n_recycled, recycled, staying
from stgraph.selection.budget import Budget
from stgraph.selection.choice import Choice, keep_everything, over_rows
from stgraph.selection.finite import check_features
from stgraph.selection.method import FittedMethod, approximate
from stgraph.selection.reasons import ATTENTION, CONTEXT
from stgraph.selection.result import Selection
from stgraph.selection.signals.attention import of_layer
from stgraph.selection.signals.text_raters import rated, text_raters
from stgraph.selection.stages import AttentionRead, Merged, Stage, Waiting
from stgraph.tokens import VideoTokens

TABLES = {"1.5": (300, 200, 110), "2.0": (300, 200, 118)}  # the authors', for 192 of 576 tokens over all layers
TOKENS_OF_TABLE = 576
_SIGNALS = {"1.5": "llm_attn_text", "2.0": "llm_attn_text_even"}


@dataclass(frozen=True, kw_only=True)
class SparseVlm(FittedMethod):
    """SparseVLM (ICML 2025, arXiv 2410.04417; ``llava/model/language_model/modelling_sparse_llama.py``): after each of
    several decoder layers, the tokens kept are those the text raters attend to most in that layer, mean over raters.

    Raters are the text tokens after the video with more than the mean share of the softmax of x·t, at the LLM's input.
    Version 1.5 takes the mean over heads, and recycles: of the dropped tokens, the most-attended 30 % are clustered by
    density peaks, ten per cluster, and the means are kept with the others. Version 2.0 (SparseVLM+) divides each weight
    by that of all-ones queries and keys at the same distance, uses the heads whose raters attend most to the video, and
    does not recycle. Scores are the attention in the last layer.

    Attributes
    ----------
    budget : how many tokens to keep
    version : "1.5" or "2.0"
    layers : decoder layers, from 0, ascending, after which tokens are cut, by their own attention
    table : tokens kept after each layer, relative to each other, not ascending; None for the authors' table of 192
        tokens
    recycle : whether tokens are recycled; None for the version's default
    adaptive : the paper's rule for counts, with ``exact_count=False``: the number of tokens kept after each layer is
        the rank of the raters' attention
    n_layers : decoder layers of the LLM
    exact_count : True scales cuts so that K tokens are left, including recycled ones; False scales the table by N /
        576, rounded down, and recycled tokens are added

    Raises
    ------
    InputError
        an invalid version, layers or table
    """

    version: str = "1.5"
    layers: tuple[int, ...] = (2, 6, 15)
    table: tuple[int, ...] | None = None
    recycle: bool | None = None
    adaptive: bool = False
    n_layers: int = 28

    name: ClassVar[str] = "sparsevlm"
    paper: ClassVar[str] = "SparseVLM, ICML 2025"
    on_gpu: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", str(self.version))  # command lines read 2.0 as a number
        if self.version not in TABLES:
            raise InputError(f"version is {self.version!r}; it must be '1.5' or '2.0'")
        object.__setattr__(self, "layers", check_layers(self.layers, self.n_layers, 0))
        if self.layers[-1] == self.n_layers - 1:
            raise InputError(f"layers is {self.layers!r}; no layer follows the last of {self.n_layers} (n_layers)")
        if self.table is not None:
            object.__setattr__(self, "table", tuple(np.atleast_1d(self.table).tolist()))
        counts = self.counts_of_table
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in counts)
        if len(counts) != len(self.layers) or not whole or sorted(counts, reverse=True) != list(counts):
            raise InputError(
                f"table is {self.table!r}; it must be as many as layers, of at least 1, none above the one before it"
            )
        for name in ("recycle", "adaptive"):
            if not isinstance(getattr(self, name), bool) and (name == "adaptive" or self.recycle is not None):
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be true or false")
        if self.adaptive and self.exact_count:
            raise InputError("adaptive is True, which keeps as many tokens as a rank says; pass exact_count=False")

    @property
    def counts_of_table(self) -> tuple[int, ...]:
        """Tokens kept after each of ``layers``, relative to each other."""
        return TABLES[self.version] if self.table is None else self.table

    @property
    def recycles(self) -> bool:
        """Whether tokens are recycled."""
        return self.version == "1.5" if self.recycle is None else self.recycle

    @property
    def requires(self) -> frozenset[str]:  # type: ignore[override]
        """The text at the LLM's input, and its attention, weighted as in the version."""
        return frozenset({"text_embeds", _SIGNALS[self.version], "llm_attn_layers", "seq_index"})

    @property
    def prune_layer(self) -> int:  # type: ignore[override]
        """The layer from which on K tokens are left."""
        return self.layers[-1] + 1

    def stages(self) -> tuple[Stage, ...]:
        """A cut after each of ``layers``, by the attention of exactly that layer's raters."""
        by, states = "raters" if self.version == "1.5" else "raters-even", "input" if self.recycles else None
        return tuple(Stage(layer + 1, AttentionRead(layer, fixed=True, by=by), states) for layer in self.layers)

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` lack a signal, or the signal lacks one of ``layers``."""
        super().check_signals(tokens)
        for layer in self.layers:
            of_layer(tokens, _SIGNALS[self.version], layer, self.name)

    def cuts(self, n_nodes: int, n_keep: int) -> tuple[tuple[int, int], ...]:
        """(first layer that sees fewer, tokens left) of each cut where the last leaves ``n_keep`` of ``n_nodes``."""
        n, left = n_nodes, []
        for layer, stay in zip(self.layers, self._stay(n_nodes, n_keep), strict=True):
            stay = min(stay, n)
            n = stay + (n_recycled(n - stay) if self.recycles else 0)
            left.append((layer + 1, min(n, n_keep) if layer == self.layers[-1] else n))
        return tuple(left)

    def _stay(self, n_nodes: int, n_keep: int) -> list[int]:
        """Number of tokens kept unchanged after each layer, at most the number present."""
        *before, last = self.counts_of_table
        stay, n = [], n_nodes
        for count in before:
            stay.append(min(n, -(-n_keep * count // last)))
            n = stay[-1] + (n_recycled(n - stay[-1]) if self.recycles else 0)
        return [*stay, _stays_of(n, n_keep) if self.recycles else n_keep]

    def _n_keep(self, grid: TokenGrid, budget: Budget) -> int:
        """Number of tokens left by the last cut."""
        return count_after_cuts(grid, budget, self.n_layers, partial(self.cuts, grid.n_nodes))

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The ``n_keep`` tokens left by all cuts, or as many as the authors' rule leaves."""
        raters = text_raters(tokens, self.name)
        x = tokens.lattice.reshape(tokens.grid.n_nodes, -1)
        left, scores, counts = Left.all_of(len(x)), np.zeros(0), []
        for i, layer in enumerate(self.layers):
            attention = left.over_nodes(rated(tokens, _SIGNALS[self.version], raters, layer, self.name))
            left, scores, _ = self._cut(i, left, attention, partial(left.features, x), n_keep)
            counts.append(left.nodes.size)
        reasons = ["attention of the sequence before the first cut"] if len(self.layers) > 1 else []
        if left.merges:
            reasons.append("tokens recycled at the LLM's input, not by the states behind its layers")
        positions = "compact" if self.recycles else "original"
        return self._choice(left, scores, counts, raters.size, reasons, positions)

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Cut step by step, each by the raters' attention to the tokens left by earlier cuts, and by hidden states if
        tokens are recycled."""
        check_features(tokens)
        view = self.budget.view(tokens, self.newlines)
        n_keep = self._n_keep(view.grid, self.budget)
        if self.exact_count and n_keep == view.grid.n_nodes:
            return self.finish(keep_everything(view), tokens, view, self.budget)
        rows, raters = view.grid.rows, text_raters(view, self.name)

        def after(left: Left, scores: Array, counts: list[int]) -> Selection | Waiting:
            if len(counts) == len(self.layers):
                reasons = ["recycled tokens stand at their clusters' centres; positions stay"] if left.merges else []
                choice = self._choice(left, scores, counts, raters.size, reasons, "original")
                return self.finish(choice, tokens, view, self.budget)

            def resume(attention: Any, states: Any = None) -> Selection | Waiting | Merged:
                found = to_host(attention)[:, rows[left.nodes]].astype(np.float64)
                of = rows if not counts else np.arange(left.nodes.size)  # of all rows, newlines among them, at first
                new, scores, step = self._cut(len(counts), left, found, partial(_rows_of, states, of), n_keep)
                state = after(new, scores, [*counts, new.nodes.size])
                if not (np.diff(step.indptr) > 1).any():
                    return state
                return Merged(state, step if counts else over_rows(step, rows, tokens.grid.n_tokens))

            return Waiting(self.stages()[len(counts)], rows[left.nodes] if counts else None, resume, queries=raters)

        return after(Left.all_of(view.grid.n_nodes), np.zeros(0), [])

    def _choice(
        self, left: Left, scores: Array, counts: Sequence[int], n_raters: int, reasons: list[str], positions: str
    ) -> Choice:
        if self.recycle is not None and self.recycles != (self.version == "1.5"):
            reasons = [*reasons, "tokens are recycled" if self.recycles else "no token is recycled"]
        cuts = tuple((layer + 1, count) for layer, count in zip(self.layers, counts, strict=True))
        return Choice(
            nodes=left.nodes,
            reason=np.where(left.sizes > 1, CONTEXT, ATTENTION),
            scores=scores,
            merge=left.weights if left.merges else None,
            positions=positions,
            exactness=approximate(*reasons),
            n_input=left.weights.shape[1],
            prune_layer=self.prune_layer,
            cuts=cuts if len(cuts) > 1 else (),
            report={"n_raters": int(n_raters), "left": list(counts)},
        )

    def _cut(
        self, i: int, left: Left, attention: Array, points_of: Callable[[Array], Any], n_keep: int
    ) -> tuple[Left, Array, Any]:
        """The tokens left by the i-th cut, [n'] scores, and the [n', n] matrix that forms them from the previous ones.

        Parameters
        ----------
        attention : [R, n] float64, to the remaining tokens
        points_of : the features of some of these
        """
        from stgraph.kernels.cpu.top import top_of

        n, N = left.nodes.size, left.weights.shape[1]
        wanted = self._stay(N, n_keep)[i] if self.exact_count else self._theirs(i, attention, N)
        count, scores = min(n, wanted), attention.mean(axis=0)
        stays = top_of(scores, np.arange(n), count)
        most = n_keep - count if self.exact_count and i == len(self.layers) - 1 else None
        at, step = recycled(points_of, stays, scores, most) if self.recycles and count < n else staying(stays)
        return left.step(at, step), step @ scores, step

    def _theirs(self, i: int, found: Array, n_tokens: int) -> int:
        """Number of tokens with attention ``found`` ([R, n]) kept after the i-th layer, by the authors' rule."""
        n = found.shape[1]
        if self.adaptive:
            return max(1, int(np.linalg.matrix_rank(found.astype(np.float32))))
        scaled = self.counts_of_table[i] * n_tokens // TOKENS_OF_TABLE
        return max(1, min(scaled, int(n) - 1))


def _rows_of(states: Any, of: Array, chosen: Array) -> Any:
    return states[beside(of[chosen], states)]


def _stays_of(n: int, n_keep: int) -> int:
    """Largest number of ``n`` tokens that can be kept if recycling the others leaves ``n_keep``."""
    low, high = 0, n_keep
    while low < high:
        middle = (low + high + 1) // 2
        fits = middle + n_recycled(n - middle) <= n_keep
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
