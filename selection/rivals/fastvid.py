"""FastVID: salient tokens by pooling attention; the rest of each segment is merged into anchor frames."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.community.density import density_peaks, peak_scores, scaled_distances
from stgraph.devices import astype, beside, concatenated, largest_of_rows
from stgraph.errors import InputError
from stgraph.frame_work import joined
from stgraph.selection.algorithms.segments import frame_segments
from stgraph.selection.assignment import assignment
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.integers import check_integer
from stgraph.selection.method import Choice, FittedMethod, check_share
from stgraph.selection.reasons import ATTENTION, CONTEXT
from stgraph.selection.rivals.unit_features import wide_units
from stgraph.selection.signals.encoder_grid import on_lattice
from stgraph.tokens import VideoTokens

NEIGHBOURS = 4  # of the density


@dataclass(frozen=True, kw_only=True)
class FastVid(FittedMethod):
    """FastVID as implemented for LLaVA-OneVision (``fastvid_llavaonevision/.../modeling_qwen2.py``).

    In segments of similar frames, each frame keeps its salient tokens, and all other tokens are merged into
    density-peak centres of the segment's anchor frames. Cost: the distances are quadratic in the tokens of an anchor
    frame, the similarities are one product of all tokens of a segment with all its centres (a segment of L frames has
    about L/4 anchors, so this is quadratic in L).

    Attributes
    ----------
    tau : cosine of neighbouring frames below which a segment ends
    segments : minimum number of segments (every frame is one if there are fewer)
    context : share of a frame's budget given to the segment's anchors
    anchor_step : frames between anchors, counted back from the segment's last frame
    beta : minimum weight of a centre in its merged token
    pool_head : SigLIP checkpoint, by name or path, whose pooling head a running model applies if its own tower has
        none, as the authors do; dumps carry its output
    """

    tau: float = 0.9
    segments: int = 8
    context: float = 0.4
    anchor_step: int = 4
    beta: float = 0.6
    pool_head: str | None = None

    name: ClassVar[str] = "fastvid"
    paper: ClassVar[str] = "FastVID, NeurIPS 2025"
    on_gpu: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True
    requires: ClassVar[frozenset[str]] = frozenset({"pool_attn", "pool_feature"})

    def __post_init__(self) -> None:
        check_share("tau", self.tau, -1.0)
        check_share("context", self.context)
        check_share("beta", self.beta)
        for name in ("segments", "anchor_step"):
            check_integer(name, getattr(self, name), 1)
        if self.pool_head is not None and (not isinstance(self.pool_head, str) or not self.pool_head):
            raise InputError(f"pool_head is {self.pool_head!r}; it must be None or the name or path of a checkpoint")

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Salient tokens and centres; budget the centres cannot use goes to the most-attended unkept tokens."""
        from stgraph.kernels.cpu.top import top_of, top_of_groups

        grid = tokens.grid
        n, (T, P) = grid.n_nodes, (grid.T, grid.H * grid.W)
        pooled = on_lattice(tokens, tokens.signal("pool_attn", self.name), "pool_attn")
        attention = pooled.reshape(-1).astype(np.float64)
        segments = frame_segments(_frame_vectors(tokens, self.name), self.segments, self.tau)

        if self.exact_count:
            per_frame = per_frame_counts(n_keep, T)
        else:
            per_frame = np.full(T, int(P * float(budget.ratio(grid))))
        n_context = (per_frame * self.context).astype(np.int64)
        n_salient = per_frame - n_context
        members, starts = np.arange(n, dtype=np.int32), np.arange(T + 1) * P
        salient = top_of_groups(attention, members, starts, n_salient).reshape(T, P)
        is_centre, added = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        scores, entries, n_anchors = attention.copy(), [], 0
        for first, end in segments:
            at = np.arange(end - 1, first - 1, -self.anchor_step)[::-1]
            share, more = divmod(int(n_context[first:end].sum()), at.size)
            wanted = share + (np.arange(at.size) < more) * self.exact_count
            wanted = np.minimum(wanted, P - n_salient[at])
            anchors = [_anchor(tokens.lattice, t, salient[t], c) for t, c in zip(at, wanted, strict=True) if c > 0]
            for anchor in anchors:
                is_centre[anchor.centres], scores[anchor.centres] = True, np.exp(anchor.scores)
            if anchors:
                entries.append(_merge(tokens.lattice, salient, (first, end), anchors, self.beta))
            if self.exact_count:
                unkept = first * P + np.flatnonzero(~(salient.reshape(-1) | is_centre)[first * P : end * P])
                added |= top_of(attention, unkept, int(n_context[first:end].sum() - wanted.sum()))
            n_anchors += at.size
        whole = np.flatnonzero(salient.reshape(-1) | added)
        entries.append((whole, whole, np.ones(whole.size)))
        rows, columns, weights = (np.concatenate(parts) for parts in zip(*entries, strict=True))
        nodes = np.union1d(whole, np.flatnonzero(is_centre))
        n_added = int(np.count_nonzero(added))
        return Choice(
            nodes=nodes,
            reason=np.where(is_centre[nodes], CONTEXT, ATTENTION),
            scores=scores[nodes],
            merge=assignment(nodes, rows, columns, weights, n),
            exactness=f"approximate: {n_added:,} tokens beyond what the anchors could take" if n_added else "exact",
            report={
                "segments": [[first, end - 1] for first, end in segments],
                "n_anchors": n_anchors,
                "n_salient": int(np.count_nonzero(salient)),
                "n_context": int(np.count_nonzero(is_centre)),
                "n_added": n_added,
            },
        )


def _frame_vectors(tokens: VideoTokens, needed_by: str) -> Array:
    """The signal ``pool_feature`` in float64, refused where it is not finite."""
    vectors = tokens.signal("pool_feature", needed_by).astype(np.float64)
    good = np.isfinite(vectors).all(axis=1)
    if not good.all():
        raise InputError(f"signal 'pool_feature' holds NaN or Inf in frame {int(np.argmin(good))}; replace it")
    return vectors


@dataclass(frozen=True, eq=False)
class _Anchor:
    """Centres of one anchor frame: nodes [c] ascending, their scores, and whether they repeat an earlier centre."""

    centres: Array
    scores: Array
    repeats: Array


def _anchor(x: Any, t: int, salient: Array, n_centres: int) -> _Anchor:
    """The density peaks among the tokens of frame ``t`` that are not ``salient`` ([P] bool)."""
    others = np.flatnonzero(~salient)
    distance = scaled_distances(_rows(x, t, others))
    scores = peak_scores(distance, NEIGHBOURS)
    peaks = density_peaks(scores, n_centres)
    repeats = (distance[np.ix_(peaks, peaks)] == 0).argmax(axis=1) < np.arange(peaks.size)
    return _Anchor(t * salient.size + others[peaks], scores[peaks], repeats)


def _merge(
    x: Any, salient: Array, segment: tuple[int, int], anchors: list[_Anchor], beta: float
) -> tuple[Array, Array, Array]:
    """Every non-salient token of the segment joins its most similar centre, once per anchor frame.

    Returns entries of the assignment matrix, [m] each: merged token (the centre's node), token, weight.
    """
    P = salient.shape[1]
    centres = np.concatenate([a.centres for a in anchors])
    ends = np.cumsum([a.centres.size for a in anchors]).tolist()
    repeats = beside(np.concatenate([a.repeats for a in anchors]), x)
    directions = wide_units(concatenated(tuple(_rows(x, int(a.centres[0]) // P, a.centres % P) for a in anchors)))
    nearest, columns = [], []
    for t in range(*segment):
        others = np.flatnonzero(~salient[t])
        # The tokens' own lengths do not change which centre is most similar.
        similarity = _rows(x, t, others) @ directions.T
        similarity[:, repeats] = -np.inf
        for start, end in pairwise([0, *ends]):
            nearest.append(start + largest_of_rows(similarity[:, start:end])[0])
            columns.append(t * P + others)
    rows = joined(nearest)
    members = np.bincount(rows, minlength=centres.size)
    own = np.maximum(1 / (members + 1), beta)  # 1 where nobody joined
    shared = (1 - own) / np.maximum(members, 1)
    return (
        np.append(centres[rows], centres),
        np.append(np.concatenate(columns), centres),
        np.append(shared[rows], own),
    )


def _rows(x: Any, t: int, positions: Array) -> Any:
    """[n, d] float64 features of positions of one frame, on their device."""
    h, w = (beside(axis, x) for axis in np.divmod(positions, x.shape[2]))
    return astype(x[t, h, w], "float64")
