"""FrameFusion: averaging of similar temporal neighbours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from stgraph.graph import check_threshold
from stgraph.selection.budget import Budget
from stgraph.selection.choice import over_rows
from stgraph.selection.finite import check_features
from stgraph.selection.method import Choice, FittedMethod, Method, approximate
from stgraph.selection.reasons import ATTENTION, CONTEXT, DIVERSITY
from stgraph.selection.result import Selection
from stgraph.selection.signals.attention import SHALLOW_LAYER, has_shallow_attention, shallow_attention
from stgraph.selection.stages import AttentionRead, Stage, Waiting, with_attention
from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]

_LEAST_SHARE = 0.1  # of tokens that a merge takes, below which the authors stop merging
_LAYERS = 28  # the authors' constant; it cancels but for the last bit of the ratio


@dataclass(frozen=True, kw_only=True)
class FrameFusion(FittedMethod):
    """FrameFusion's merge stage (arXiv 2501.01986, ``framefusion/main.py``): of the temporal edges the most similar are
    taken, and every run of taken edges at one position is averaged into its first token.

    ``scores`` are 1 - cosine to the frame before; 2, more than any, in the first frame, which is never merged away.

    Attributes
    ----------
    budget : how many tokens to keep
    exact_count : False merges by the authors' rule, in which only the features decide how many tokens are kept
    tau : similarity from which on the authors' rule merges; with a budget, edges below it are merged too where needed,
        and the report says how many

    Raises
    ------
    InputError
        tau is not a similarity
    """

    tau: float = 0.6

    name: ClassVar[str] = "framefusion"
    paper: ClassVar[str] = "FrameFusion, ICCV 2025"
    checks_features: ClassVar[bool] = True
    newlines: ClassVar[str] = "in"

    def __post_init__(self) -> None:
        check_threshold("tau", self.tau)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Merge down to ``n_keep`` tokens, or by the authors' rule."""
        similarity = _to_frame_before(tokens)
        n, n_frame = tokens.grid.n_nodes, tokens.grid.H * tokens.grid.W
        exactness = "exact"
        if self.exact_count:
            taken = _most_similar(similarity, n - max(n_keep, n_frame))
            below = int(np.count_nonzero(similarity[taken] < np.float32(self.tau)))
            if below:
                exactness = f"approximate: {below:,} of {np.count_nonzero(taken):,} merged edges lie below tau"
        else:
            taken, finished = _taken_by_the_authors(similarity, n, self.tau, budget.ratio(tokens.grid))
            if not finished:
                exactness = "approximate: the first merge alone; the authors go on merging and pruning inside the LLM"
        nodes, merge = _runs(taken, n, n_frame)
        if n_keep < n_frame and self.exact_count:  # every position is one run, all of the same length
            nodes, merge = nodes[:n_keep], merge[:n_keep]
            exactness = f"approximate: merging alone keeps {n_frame:,} tokens, of which the first are kept"
        lengths = np.diff(merge.indptr)
        return Choice(
            nodes=nodes,
            reason=np.where(lengths > 1, CONTEXT, DIVERSITY),
            scores=_difference(similarity, n_frame)[nodes],
            merge=merge,
            exactness=exactness,
            report=_report(similarity, taken, lengths, self.tau),
        )


@dataclass(frozen=True, kw_only=True)
class FrameFusionAttention(Method):
    """FrameFusion's first merge by its own rule, then a cut to the budget by the LLM's shallow attention to the first
    token of each run (arXiv 2501.01986, ``framefusion/main.py``).

    Attributes
    ----------
    budget : how many tokens to keep
    tau : similarity from which on tokens are merged

    Raises
    ------
    InputError
        tau is not a similarity
    """

    tau: float = 0.6

    name: ClassVar[str] = "framefusion-attention"
    paper: ClassVar[str] = "FrameFusion, ICCV 2025"
    checks_features: ClassVar[bool] = True
    requires: ClassVar[frozenset[str]] = frozenset({"importance"})
    newlines: ClassVar[str] = "in"
    prune_layer = 1

    def __post_init__(self) -> None:
        check_threshold("tau", self.tau)

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` carry no shallow attention."""
        if not has_shallow_attention(tokens):
            shallow_attention(tokens, self.name)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Merge, then keep the ``n_keep`` runs of most attention."""
        from stgraph.kernels.cpu.top import top_of

        attention = shallow_attention(tokens, self.name)
        similarity = _to_frame_before(tokens)
        taken, _ = self._taken(similarity, tokens, n_keep, budget)
        heads, merge = _runs(taken, tokens.grid.n_nodes, tokens.grid.H * tokens.grid.W)
        kept = top_of(attention, heads, n_keep)[heads]
        nodes, rows = heads[kept], np.flatnonzero(kept)
        return Choice(
            nodes=nodes,
            reason=ATTENTION,
            scores=attention[nodes],
            merge=merge[rows],
            exactness="approximate: the later merges need the running LLM; attention of the unpruned sequence",
            n_input=heads.size,
            prune_layer=self.prune_layer,
            report={
                **_report(similarity, taken, np.diff(merge.indptr), self.tau),
                "n_merged": int(heads.size),
                "n_pruned": int(heads.size - n_keep),
            },
        )

    def stages(self) -> tuple[Stage, ...]:
        """The first merge before the LLM; the cut behind layer 0, by its attention and no other."""
        return Stage(), Stage(1, AttentionRead(0, fixed=True))

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Merged tokens wait for the attention of layer 0."""
        if self.keeps_all(tokens.grid):
            return self.select(with_attention(tokens, np.zeros(tokens.grid.n_tokens), SHALLOW_LAYER))
        held = tokens.to("cpu")
        check_features(held)
        view = self.budget.view(held, self.newlines)
        n_keep = self.budget.count(view.grid, self.prune_layer, self.n_layers)
        taken, finished = self._taken(_to_frame_before(view), view, n_keep, self.budget)
        heads, merge = _runs(taken, view.grid.n_nodes, view.grid.H * view.grid.W)
        reasons = [] if finished else ["the merges inside the LLM are left out"]

        def resume(attention: Any) -> Selection:
            found = self.select(with_attention(tokens, attention, SHALLOW_LAYER))
            return replace(found, exactness=approximate(*reasons))

        rows = view.grid.rows
        return Waiting(self.stages()[-1], rows[heads], resume, over_rows(merge, rows, view.grid.n_tokens))

    def _taken(self, similarity: Array, tokens: VideoTokens, n_keep: int, budget: Budget) -> tuple[Array, bool]:
        """The edges that are merged, and whether the authors merge no more after them."""
        n = tokens.grid.n_nodes
        taken, finished = _taken_by_the_authors(similarity, n, self.tau, budget.ratio(tokens.grid))
        if n - np.count_nonzero(taken) < n_keep:
            return _most_similar(similarity, n - n_keep), finished
        return taken, finished or int(np.count_nonzero(taken)) < _LEAST_SHARE * n


def _to_frame_before(tokens: VideoTokens) -> Array:
    """[N - P] float32: cosine of node P, P + 1, ... to the same position one frame earlier."""
    from stgraph.kernels.cpu.frame_similarity import frame_cosines

    cosine, _ = frame_cosines(tokens.lattice, np.arange(tokens.grid.T) - 1)
    return cosine[1:].reshape(-1)


def _difference(similarity: Array, n_frame: int) -> Array:
    """[N]: 1 - similarity to the frame before, 2 in the first frame."""
    return np.concatenate([np.full(n_frame, 2.0), 1.0 - similarity.astype(np.float64)])


def _most_similar(similarity: Array, count: int) -> Array:
    """[N - P] bool: the ``count`` edges of largest similarity, ties to the smaller index."""
    from stgraph.kernels.cpu.top import top_of

    return top_of(similarity, np.arange(similarity.size), count)


def _taken_by_the_authors(similarity: Array, n: int, tau: float, ratio: Fraction) -> tuple[Array, bool]:
    """The edges the first merge takes, and whether the authors stop there.

    With u = 1 - r: all that reach ``tau`` if these are fewer than u N, else the int(u N) most similar ones. The ratio
    is computed as the authors do, in float64, and similarities are compared in float32.
    """
    share = 1.0 - (_LAYERS * float(ratio)) / _LAYERS
    reaching = similarity >= np.float32(tau)
    if np.count_nonzero(reaching) / n < share:
        return reaching, False
    return _most_similar(similarity, int(share * n)), True


def _runs(taken: Array, n: int, n_frame: int) -> tuple[Array, Any]:
    """First tokens of the runs, ascending, and the [K, N] matrix that averages each run.

    Parameters
    ----------
    taken : [N - P] bool: whether node P + i is merged into the same position one frame earlier
    n, n_frame : N and P
    """
    from scipy.sparse import csr_array

    from stgraph.kernels.cpu.components import group_members

    first = np.ones(n, np.bool_)
    first[n_frame:] = ~taken
    frames = np.arange(n // n_frame)[:, None]
    start = np.maximum.accumulate(np.where(first.reshape(-1, n_frame), frames, 0), axis=0)
    head = (start * n_frame + np.arange(n_frame)).reshape(-1)
    heads = np.flatnonzero(first)
    label = (np.cumsum(first) - 1).astype(np.int32)
    members, starts = group_members(label[head], heads.size)
    lengths = np.diff(starts)
    weights = np.repeat(1.0 / lengths, lengths).astype(np.float32)
    return heads, csr_array((weights, members.astype(np.int64), starts), shape=(heads.size, n))


def _report(similarity: Array, taken: Array, lengths: Array, tau: float) -> dict[str, Any]:
    merged = similarity[taken]
    return {
        "n_merged_edges": int(merged.size),
        "n_edges_reaching_tau": int(np.count_nonzero(similarity >= np.float32(tau))),
        "n_merged_below_tau": int(np.count_nonzero(merged < np.float32(tau))),
        "lowest_merged_similarity": float(merged.min()) if merged.size else None,
        "n_runs": int(np.count_nonzero(lengths > 1)),
        "longest_run": int(lengths.max()),
    }
