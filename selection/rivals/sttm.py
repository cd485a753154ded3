"""STTM: quadtree boxes of similar tokens in each frame, joined over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.kernels import kernels_for
from stgraph.selection.algorithms.quadtree import Pyramid, build_pyramid, level_sizes
from stgraph.selection.budget import Budget
from stgraph.selection.integers import check_integer
from stgraph.selection.method import Choice, FittedMethod, approximate, check_share
from stgraph.selection.reasons import CONTEXT
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class Sttm(FittedMethod):
    """STTM (ICCV 2025, ``token_merging_utils/quadtree_*.py``): each frame is a pyramid of 2x2 means, cut at the means
    similar to all their parts; nested boxes of adjacent frames are joined if similar.

    Attributes
    ----------
    tau_s : minimum cosine to all its parts at which a box stays whole
    tau_t : minimum cosine at which two boxes are joined; 0 joins none, as in the authors' code. Not used with
        ``exact_count``, which joins in descending similarity
    root_level : start of the pyramid, counted from its coarsest level (two boxes high or wide); a small grid may have
        no level above its tokens

    Raises
    ------
    InputError
        a parameter is out of range
    """

    tau_s: float = 0.8
    tau_t: float = 0.5
    root_level: int = 1

    name: ClassVar[str] = "sttm"
    paper: ClassVar[str] = "Multi-Granular Spatio-Temporal Token Merging, ICCV 2025"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("tau_s", self.tau_s)
        check_share("tau_t", self.tau_t)
        check_integer("root_level", self.root_level, 0)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Exactly ``n_keep`` groups of boxes, or as many as both thresholds leave.

        Raises
        ------
        FeatureError
            a token holds NaN or Inf
        """
        from stgraph.kernels.cpu.components import canonical_labels
        from stgraph.kernels.cpu.top import top_of

        pyramid = build_pyramid(tokens, self.root_level)
        split = pyramid.least < self.tau_s
        covering = pyramid.cut(split)
        n_cut = int(np.unique(covering).size)
        if self.exact_count and n_cut < n_keep:
            covering = pyramid.cut(pyramid.refine(split, n_keep))
        box, n_boxes = canonical_labels(covering.reshape(-1))  # numbered by their first token
        of_box = np.empty(n_boxes, np.int64)
        of_box[box] = covering.reshape(-1)

        low, high = _nested_pairs(box.reshape(covering.shape), n_boxes)
        if self.exact_count:
            group, n_groups, weakest = _strongest_joins(pyramid, tokens.lattice, of_box, low, high, n_keep)
        else:
            group, n_groups, weakest = self._joins_above(pyramid, tokens.lattice, of_box, low, high)
        token_group = group[box]
        covered = np.bincount(token_group, minlength=n_groups)
        kept = np.ones(n_groups, np.bool_)
        if self.exact_count and n_groups > n_keep:
            kept = top_of(covered.astype(np.float64), np.arange(n_groups), n_keep)
        nodes, merge = _assignment(pyramid, covering, token_group, np.bincount(group), kept)
        why = ["the features given are merged, not the hidden states that enter LLM layer 2"]
        odd = [
            f"{h} x {w}" for h, w in level_sizes(tokens.grid.H, tokens.grid.W, self.root_level)[:-1] if h % 2 or w % 2
        ]
        if odd:
            why.append(f"level {odd[0]} has an odd side, where the authors compare with the frame's corner token")
        if self.exact_count:
            why.append("thresholds are fitted to the budget")
        return Choice(
            nodes,
            CONTEXT,
            covered[kept].astype(np.float64),
            merge=merge,
            positions="compact",
            exactness=approximate(*why),
            report={
                "n_boxes_at_tau_s": n_cut,
                "n_boxes": n_boxes,
                "n_pairs": int(low.size),
                "weakest_join": weakest,
                "n_groups": n_groups,
                "n_tokens_dropped": int(covered[~kept].sum()),
            },
        )

    def _joins_above(
        self, pyramid: Pyramid, x: Any, of_box: Array, low: Array, high: Array
    ) -> tuple[Array, int, float | None]:
        """The authors' loop over all pairs that reach ``tau_t``: (group of each box, number, weakest similarity).

        Labels are lowered along the pairs and followed once, until all point at a label that points at itself; a box
        with several partners may still remain separate from one of them.
        """
        from stgraph.kernels.cpu.components import canonical_labels

        similarity = _pair_similarity(pyramid, x, of_box[low], of_box[high])
        reached = similarity >= self.tau_t if self.tau_t > 0 else np.zeros(low.size, np.bool_)
        low, high = low[reached], high[reached]
        label = np.arange(of_box.size)
        while True:
            smaller = np.minimum(label[low], label[high])
            np.minimum.at(label, low, smaller)
            np.minimum.at(label, high, smaller)
            label = label[label]
            if np.array_equal(label, label[label]):
                break
        weakest = float(similarity[reached].min()) if reached.any() else None
        return *canonical_labels(label), weakest


def _strongest_joins(
    pyramid: Pyramid, x: Any, of_box: Array, low: Array, high: Array, n_groups: int
) -> tuple[Array, int, float | None]:
    """Join pairs in descending similarity, ties to the smaller pair, until ``n_groups`` groups are left:
    (group of each box, numbered by first box; their number; the weakest similarity joined)."""
    from stgraph.kernels.cpu.components import connected_components
    from stgraph.kernels.cpu.spanning_tree import joining_edges

    n = of_box.size
    if n == n_groups:
        return np.arange(n), n, None
    similarity = _pair_similarity(pyramid, x, of_box[low], of_box[high])
    order = np.argsort(-similarity, kind="stable")
    low, high, similarity = low[order], high[order], similarity[order]
    taken = joining_edges(n, low, high, n - n_groups)
    group, count = connected_components(n, low[taken], high[taken])
    return group, count, float(similarity[taken][-1]) if taken.any() else None


def _nested_pairs(box: Array, n_boxes: int) -> tuple[Array, Array]:
    """Boxes of adjacent frames of which one contains the other: (low, high) [m] int32, ascending.

    Boxes of one pyramid are nested exactly if they share a position.
    """
    pairs = np.unique(box[:-1].astype(np.int64) * n_boxes + box[1:])
    return (pairs // n_boxes).astype(np.int32), (pairs % n_boxes).astype(np.int32)


def _pair_similarity(pyramid: Pyramid, x: Any, a: Array, b: Array) -> Array:
    """[m] float32: cosine of the means of boxes a and b, which are nested and b one frame later."""
    from stgraph.kernels.cpu.spanning_tree import SAME

    pair_cosines = kernels_for(x, "quadtree").pair_cosines
    n, norms, means = pyramid.temporal.size, pyramid.norms, pyramid.means
    inner, outer = np.minimum(a, b), np.maximum(a, b)  # tokens are numbered before larger boxes
    token, both = inner < n, outer < n
    similarity = np.empty(a.size, np.float32)
    similarity[both] = pyramid.temporal[inner[both]]
    mixed, large = token & ~both, ~token
    similarity[mixed] = to_host(pair_cosines(x, norms[:n], means, norms[n:], inner[mixed], outer[mixed] - n))
    lattice = means[None, None]
    pairs = inner[large] - n, outer[large] - n
    similarity[large] = to_host(pair_cosines(lattice, norms[n:], means, norms[n:], *pairs))
    similarity[similarity > SAME] = 1
    return similarity


def _assignment(pyramid: Pyramid, covering: Array, group: Array, n_boxes: Array, kept: Array) -> tuple[Array, Any]:
    """The first token of each kept group, and [K, N] the plain mean of its ``n_boxes`` boxes, each a mean of tokens."""
    from scipy.sparse import csr_array

    from stgraph.kernels.cpu.components import group_members

    level = pyramid.level(covering)
    inside = np.choose(level, [np.broadcast_to(w, level.shape) for w in pyramid.weights]).reshape(-1)
    members, starts = group_members(group.astype(np.int32, copy=False), kept.size)
    chosen = members[np.repeat(kept, np.diff(starts))]
    indptr = np.concatenate([[0], np.cumsum(np.diff(starts)[kept])])
    weights = inside[chosen] / n_boxes[group[chosen]]
    merge = csr_array((weights, chosen, indptr), shape=(indptr.size - 1, group.size))
    return members[starts[:-1][kept]].astype(np.int64), merge
