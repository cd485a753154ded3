"""FlashVID: attended and diverse tokens per frame; the rest is merged along trees over time and clustered in space."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.community.density import density_peaks, peak_scores, scaled_distances
from stgraph.devices import astype, beside
from stgraph.errors import InputError
from stgraph.frame_work import joined, stacked
from stgraph.kernels import kernels_for
from stgraph.selection.algorithms.segments import frame_segments
from stgraph.selection.assignment import assignment
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.integers import check_integer
from stgraph.selection.method import Choice, FittedMethod, approximate, check_share
from stgraph.selection.reasons import ATTENTION, CONTEXT
from stgraph.selection.rivals.frame_trees import Trees, merge_trees
from stgraph.selection.rivals.unit_features import unit_tokens
from stgraph.selection.signals.encoder_grid import on_lattice
from stgraph.tokens import VideoTokens

NEIGHBOURS = 7  # of the density
EXPANSION = 1.25  # more tokens than the ratio before the authors prune inside the LLM


@dataclass(frozen=True, kw_only=True)
class FlashVid(FittedMethod):
    """FlashVID without its step inside the LLM (ICLR 2026, arXiv 2602.08024; ``flashvid/utils.py``).

    The video is divided into segments of similar frames. In each frame, the share ``alpha`` of its budget is picked
    farthest first, with distances weighted by received attention and by similarity to the segment's frames. Every other
    token is merged, along trees, into its most similar token of the frame before if they are similar enough; the
    remaining tokens of a frame become the means of density-peak clusters, at the positions of their centres. Scores are
    the attention. Quadratic in the tokens of a frame.

    Attributes
    ----------
    alpha : share of a frame's budget picked directly, rounded up
    tau : cosine above which a token is merged into one of the frame before
    segment_tau : cosine of neighbouring frames' means below which a segment ends
    segments : minimum number of segments (every frame is one if there are fewer)
    true_means : True makes merged tokens the means of all their tokens; False is as released: a tree is divided by one
        more than the tokens merged directly into its root, and a cluster counts each tree once
    exact_count : False: ceil(1.25 P r) tokens per frame, and ceil(their share) clusters
    """

    alpha: float = 0.7
    tau: float = 0.8
    segment_tau: float = 0.9
    segments: int = 8
    true_means: bool = True

    name: ClassVar[str] = "flashvid"
    paper: ClassVar[str] = "FlashVID, ICLR 2026"
    on_gpu: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True
    requires: ClassVar[frozenset[str]] = frozenset({"enc_recv_attn"})
    left_out: ClassVar[tuple[str, ...]] = ("pruning inside the LLM is left out",)

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        check_share("tau", self.tau, -1.0)
        check_share("segment_tau", self.segment_tau, -1.0)
        check_integer("segments", self.segments, 1)
        if not isinstance(self.true_means, (bool, np.bool_)):
            raise InputError(f"true_means is {self.true_means!r}; it must be True or False")

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Picked tokens, and the means of clusters of trees."""
        grid = tokens.grid
        n, (T, P) = grid.n_nodes, (grid.T, grid.H * grid.W)
        received = on_lattice(tokens, tokens.signal("enc_recv_attn", self.name), "enc_recv_attn")
        attention = received.reshape(T, P).astype(np.float64)
        units = unit_tokens(tokens).reshape(T, P, -1)
        frames = tokens.lattice.reshape(T, P, -1)
        means = stacked([astype(frame, "float64").mean(axis=0) for frame in frames])
        if self.exact_count:
            counts = per_frame_counts(n_keep, T)
        else:
            counts = np.full(T, min(P, ceil(P * float(budget.ratio(grid)) * EXPANSION)))
        n_picked = np.array([ceil(count * float(self.alpha)) for count in counts.tolist()])
        picked = np.zeros((T, P), np.bool_)
        entries, n_merged = [], 0
        segments = frame_segments(means, self.segments, self.segment_tau)
        for first, end in segments:
            mine, whole = slice(first, end), means[first:end].mean(axis=0)
            picked[mine] = _picks(frames[mine], units[mine], attention[mine], whole, n_picked[mine].tolist())
            wanted = counts[mine] - n_picked[mine]
            if wanted.sum() == 0:
                continue
            trees = merge_trees(frames[mine], units[mine], picked[mine], self.tau, int(counts[mine].sum()))
            n_merged += int(np.count_nonzero(trees.parent >= 0))
            rows, columns, weights = self._clusters(trees, P, int(wanted.sum()))
            entries.append((first * P + rows, first * P + columns, weights))
        whole_nodes = np.flatnonzero(picked)
        entries.append((whole_nodes, whole_nodes, np.ones(whole_nodes.size)))
        rows, columns, weights = (np.concatenate(parts) for parts in zip(*entries, strict=True))
        nodes = np.unique(rows)
        return Choice(
            nodes,
            np.where(picked.reshape(-1)[nodes], ATTENTION, CONTEXT),
            attention.reshape(-1)[nodes],
            merge=assignment(nodes, rows, columns, weights, n),
            exactness=approximate(*self.left_out),
            report={
                "segments": [[first, end - 1] for first, end in segments],
                "n_picked": int(picked.sum()),
                "n_clusters": int(nodes.size - picked.sum()),
                "n_merged": n_merged,
            },
        )

    def _clusters(self, trees: Trees, P: int, n_wanted: int) -> tuple[Array, Array, Array]:
        """The trees of a segment as ``n_wanted`` clusters, spread over its frames: entries of the assignment matrix."""
        roots = trees.roots
        starts = np.searchsorted(roots, np.arange(trees.parent.size // P + 1) * P)
        sizes = np.diff(starts)
        divisor = trees.sizes if self.true_means else 1.0 + trees.children
        vectors = trees.sums / beside(divisor[roots, None], trees.sums)
        owner = np.full(trees.parent.size, -1)
        for f, count in enumerate(self._shared(sizes, n_wanted).tolist()):
            mine = np.arange(starts[f], starts[f + 1])
            if count == 0:
                continue
            if count == mine.size:
                owner[roots[mine]] = roots[mine]
                continue
            distance = scaled_distances(vectors[starts[f] : starts[f + 1]])
            centres = density_peaks(peak_scores(distance, min(count, NEIGHBOURS)), count)
            nearest = distance[:, centres].argmin(axis=1)
            nearest[centres] = np.arange(count)
            owner[roots[mine]] = roots[mine[centres[nearest]]]
        in_tree = np.flatnonzero(trees.root >= 0)
        in_tree = in_tree[owner[trees.root[in_tree]] >= 0]
        tree = trees.root[in_tree]
        rows = owner[tree]
        if self.true_means:
            return rows, in_tree, 1 / np.bincount(rows, minlength=owner.size)[rows]
        in_cluster = np.bincount(owner[owner >= 0], minlength=owner.size)
        return rows, in_tree, 1 / (divisor[tree] * in_cluster[rows])

    def _shared(self, sizes: Array, n: int) -> Array:
        """Number of clusters per frame, in proportion to its ``sizes`` trees: by largest remainder, or all rounded
        up."""
        total = max(1, int(sizes.sum()))
        if not self.exact_count:
            ratio = n / total
            return np.minimum(sizes, np.ceil(sizes * ratio).astype(np.int64)) if ratio < 1 else sizes
        counts = n * sizes // total
        order = np.argsort(-(n * sizes % total), kind="stable")
        counts[order[: n - int(counts.sum())]] += 1
        return counts


def _picks(frames: Any, units: Any, attention: Array, whole: Array, counts: list[int]) -> Array:
    """[F, P] bool: the given number of tokens per frame ([P, d]), farthest first, weighted by attention and by their
    product with ``whole`` ([d])."""
    F, P = attention.shape
    picked = np.zeros(F * P, np.bool_)
    centre = beside(whole, frames)
    likeness = joined([astype(frame, "float64") @ centre for frame in frames]).reshape(F, P)
    weights = attention * np.maximum(likeness, 0)
    largest = weights.max(axis=1, keepdims=True)
    weights /= np.where(largest == 0, 1, largest)
    farthest_first = kernels_for(units, "farthest").farthest_first
    picks = [f * P + farthest_first(units[f], count, weights[f])[0] for f, count in enumerate(counts) if count]
    if picks:
        picked[joined(picks)] = True
    return picked.reshape(F, P)
