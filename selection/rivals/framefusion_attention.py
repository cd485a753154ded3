"""FrameFusion in full: merges before the language model and after its first layers, then a cut by attention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.errors import InputError
from stgraph.graph import check_threshold
from stgraph.selection.budget import Budget
from stgraph.selection.choice import over_rows
from stgraph.selection.finite import check_features
from stgraph.selection.integers import check_integer
from stgraph.selection.method import Choice, FittedMethod, approximate
from stgraph.selection.reasons import ATTENTION, CONTEXT, DIVERSITY
from stgraph.selection.result import Selection
from stgraph.selection.rivals.framefusion_runs import (
    difference,
    edges_report,
    runs,
    taken_by_the_authors,
    to_frame_before,
    to_token_before,
)
from stgraph.selection.signals.attention import SHALLOW_LAYER, has_shallow_attention, shallow_attention
from stgraph.selection.stages import AttentionRead, Merged, Stage, Waiting, with_attention
from stgraph.tokens import VideoTokens

_LEAST_SHARE = 0.1  # of tokens that a merge takes, below which the authors stop merging


@dataclass(frozen=True, kw_only=True)
class FrameFusionAttention(FittedMethod):
    """FrameFusion (arXiv 2501.01986, ``framefusion/main.py``): merges, then a cut by the attention of the last prompt
    token, mean over heads.

    Inside a running model, tokens are merged by their embeddings, then after the attention of layers 0, 1, ..., each
    time those with a similarity of at least ``tau`` to the token before at their position, until a merge takes less
    than a tenth, or reaches the budget with the most similar tokens alone. In the first case, the next layer's
    attention ranks the remaining tokens. A dump has no states of merged tokens: there the first merge is followed by
    the cut.

    Scores are the attention, or 1 - cosine to the token before if merging alone reaches the budget.

    Attributes
    ----------
    budget : how many tokens to keep
    tau : minimum similarity at which tokens are merged
    n_layers : decoder layers of the LLM
    exact_count : True keeps exactly K tokens; False keeps the authors' count: the budget's ratio is the mean over the
        layers, so the count depends on the features

    Raises
    ------
    InputError
        tau is not a similarity, or the number of layers is invalid
    """

    tau: float = 0.6
    n_layers: int = 28

    name: ClassVar[str] = "framefusion-attention"
    paper: ClassVar[str] = "FrameFusion, ICCV 2025"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True
    requires: ClassVar[frozenset[str]] = frozenset({"importance"})
    newlines: ClassVar[str] = "in"
    prune_layer = 1

    def __post_init__(self) -> None:
        check_threshold("tau", self.tau)
        check_integer("n_layers", self.n_layers, 2)

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` carry no shallow attention."""
        if not has_shallow_attention(tokens):
            shallow_attention(tokens, self.name)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Merge once, then keep the most-attended runs."""
        attention = shallow_attention(tokens, self.name)
        fused = self._start(tokens, budget, self.n_layers)
        fused = fused.merge(to_frame_before(tokens))
        if fused.reached:
            return fused.choice(fused.every(), attention[fused.nodes], "attention of the unpruned sequence")
        departures = ("the later merges need the running LLM", "attention of the unpruned sequence")
        return fused.cut(attention[fused.nodes], 1, *departures)

    def stages(self) -> tuple[Stage, ...]:
        """The first merge, before the LLM; then, after each layer's attention, another merge, or the cut by that
        attention."""
        return Stage(), Stage(1, AttentionRead(0, fixed=True), states="mlp", onwards=True)

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Merge, and wait for layer 0. If the number of layers is unknown (``llm_layers`` of the metadata), the cut
        follows directly."""
        if self.keeps_all(tokens.grid):
            return self.select(with_attention(tokens, np.zeros(tokens.grid.n_tokens), SHALLOW_LAYER))
        check_features(tokens)
        view = self.budget.view(tokens, self.newlines)
        rows, n_layers = view.grid.rows, int(tokens.metadata.get("llm_layers", 0))
        fused = self._start(view, self.budget, n_layers or self.n_layers)

        def selected(choice: Choice) -> Selection:
            return self.finish(choice, tokens, view, self.budget)

        def after(fused: _Fused) -> Selection | Waiting:
            layer, reason = fused.n_merges, None
            if fused.reached:
                return selected(fused.choice(fused.every(), fused.differences, layer=layer - 1))
            ended = fused.shares[-1] < _LEAST_SHARE
            if not ended and layer + 1 < n_layers:
                return Waiting(Stage(layer, states="mlp"), rows[fused.nodes], lambda _, states: merge(fused, states))
            if not ended:
                reason = "merging had not come to its end at the last layer" if n_layers else _LEFT_OUT
            reasons = [] if reason is None else [reason]

            def cut(attention: Any) -> Selection:
                return selected(fused.cut(to_host(attention)[rows[fused.nodes]], layer, *reasons))

            read = AttentionRead(layer - 1, fixed=True)
            return Waiting(Stage(layer, read), rows[fused.nodes], cut)

        def merge(fused: _Fused, states: Any) -> Merged:
            more = fused.merge(to_token_before(states, fused.nodes, fused.n_frame))
            return Merged(after(more), more.last)

        first = fused.merge(to_frame_before(view))
        state = after(first)
        if isinstance(state, Selection):
            return state
        return replace(state, assignment=over_rows(first.weights, rows, view.grid.n_tokens))

    def _start(self, view: VideoTokens, budget: Budget, n_layers: int) -> _Fused:
        n, ratio = view.grid.n_nodes, float(budget.ratio(view.grid))
        n_keep = budget.count(view.grid, self.prune_layer, self.n_layers) if self.exact_count else None
        return _Fused(self.tau, n_keep, ratio, n_layers, view.grid.H * view.grid.W, np.arange(n))


_LEFT_OUT = "the merges inside the LLM are left out"


@dataclass(frozen=True, eq=False)
class _Fused:
    """Tokens after some merges.

    Attributes
    ----------
    n_keep : tokens to keep; None for the count that makes ``ratio`` the mean over ``n_layers``
    n_frame : nodes per frame
    nodes : [k] int64, ascending: first token of each merged run
    weights, last : [k, N] and [k, k before] csr_array: all merges, and the last one
    differences : [k] float64: 1 - similarity to the token before in the last merge
    shares : share of the tokens taken by each merge
    left : tokens after each merge
    reached : whether the budget is met, so that no further step follows
    report : of the first merge
    """

    tau: float
    n_keep: int | None
    ratio: float
    n_layers: int
    n_frame: int
    nodes: Array
    weights: Any = None
    last: Any = None
    differences: Any = None
    shares: tuple[float, ...] = ()
    left: tuple[int, ...] = ()
    reached: bool = False
    report: Any = None

    @property
    def n_merges(self) -> int:
        """Number of merges so far; the next one follows the attention of the layer before that number."""
        return len(self.left)

    def every(self) -> Array:
        """[k] bool: all tokens."""
        return np.ones(self.nodes.size, np.bool_)

    def merge(self, similarity: Array) -> _Fused:
        """The state after another merge, by the similarity of each token to the one before it at its position ([k])."""
        taken, reached = taken_by_the_authors(similarity, self.tau, self._share_to_go())
        nodes, last = runs(self.nodes, self.n_frame, taken)
        return replace(
            self,
            nodes=nodes,
            weights=last if self.weights is None else last @ self.weights,
            last=last,
            differences=difference(similarity)[~taken],
            shares=(*self.shares, float(np.count_nonzero(taken) / taken.size)),
            left=(*self.left, nodes.size),
            reached=reached,
            report=self.report or edges_report(similarity, taken, np.diff(last.indptr), self.tau),
        )

    def cut(self, attention: Array, layer: int, *departures: str) -> Choice:
        """The most-attended tokens ([k]), before ``layer``."""
        from stgraph.kernels.cpu.top import top_of

        n = self.nodes.size
        n_keep = min(n, max(1, round(n * (1 - self._share_to_go()))))
        kept = top_of(attention, np.arange(n), n_keep)
        return self.choice(kept, attention, *departures, layer=layer, reason=ATTENTION)

    def choice(self, kept: Array, scores: Array, *departures: str, layer: int = 0, reason: Any = None) -> Choice:
        """The choice of the ``kept`` ([k] bool) tokens, from ``layer`` on."""
        at = np.flatnonzero(kept)
        weights = self.weights[at]
        merged = np.diff(weights.indptr) > 1
        steps = dict(enumerate(self.left)) | {layer: at.size}
        cuts = tuple((at_layer, count) for at_layer, count in steps.items() if at_layer)
        return Choice(
            nodes=self.nodes[at],
            reason=np.where(merged, CONTEXT, DIVERSITY) if reason is None else reason,
            scores=scores[at],
            merge=weights,
            exactness=approximate(*departures),
            n_input=self.left[0],
            prune_layer=layer,
            cuts=cuts if len(cuts) > 1 else (),
            report={
                **self.report,
                "left": list(self.left),
                "n_merged": self.nodes.size,
                "n_pruned": self.nodes.size - at.size,
            },
        )

    def _share_to_go(self) -> Fraction | float:
        """Share of the remaining tokens to drop (``_compute_pruning_ratio``)."""
        if self.n_keep is not None:
            return Fraction(self.nodes.size - self.n_keep, self.nodes.size)
        alive, spent = 1.0, 0.0
        for share in self.shares:
            alive *= 1 - share
            spent += alive
        room = self.n_layers * self.ratio - spent
        if room < 0:
            raise InputError(
                f"retain ratio {self.ratio:g}, as the mean over {self.n_layers} layers, cannot be met: the layers in "
                f"which tokens are still merged ({len(self.shares)}) cost {spent / self.n_layers:.3f}. Raise it, or "
                "leave exact_count"
            )
        return max(0.0, 1 - room / ((self.n_layers - len(self.shares)) * alive))
