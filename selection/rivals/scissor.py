"""LLaVA-Scissor: semantic connected components, per frame and then over the video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype, is_tensor
from stgraph.frame_work import joined
from stgraph.kernels import kernels_for
from stgraph.selection.algorithms.single_linkage import merges, nearest
from stgraph.selection.assignment import assignment
from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, FittedMethod, check_share
from stgraph.selection.reasons import CONTEXT
from stgraph.selection.rivals.unit_features import unit_rows
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class LlavaScissor(FittedMethod):
    """LLaVA-Scissor (arXiv 2506.21862, ``llava/model/llava_arch_zip.py``): connected components of the dense graph cos
    > tau are averaged within each frame, then again over all these means, and every token is finally added to its most
    similar component.

    Quadratic, as published: O(T P^2 d) and O(M^2 d) time for T frames of P tokens and M means of the first stage, and
    4 M^2 bytes; M is at most 40,000.

    Attributes
    ----------
    tau : cosine above which tokens are connected
    exact_count : True limits the first stage to N - K merges, strongest first, and continues the second until K
        components are left; False lets tau decide in both

    Raises
    ------
    InputError
        tau is not a number in [0, 1]
    """

    tau: float = 0.95

    name: ClassVar[str] = "llava-scissor"
    paper: ClassVar[str] = "LLaVA-Scissor, arXiv 2506.21862"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("tau", self.tau)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Exactly ``n_keep`` components, or as many as tau leaves.

        Raises
        ------
        FeatureError
            a token holds NaN or Inf
        InputError
            a frame has more than 40,000 tokens, or the first stage leaves more than 40,000 components
        """
        from stgraph.kernels.cpu.components import connected_components, group_members

        x, n = tokens.lattice, tokens.grid.n_nodes
        neighbour_cosines = kernels_for(x, "neighbours").neighbour_cosines
        weighted_sums = kernels_for(x, "merge").weighted_sums
        norms = neighbour_cosines(x)[1].reshape(tokens.grid.T, -1)

        low, high, cosine = _merges_in_frames(x, norms, self.tau)
        taken = n - n_keep if self.exact_count else low.size
        first, n_first = connected_components(n, low[:taken], high[:taken])
        members, starts = group_members(first, n_first)
        share = 1 / np.diff(starts)[first]
        means = weighted_sums(x, starts, members, share[members])[None, None]
        mean_norms = neighbour_cosines(means)[1].reshape(-1)

        low2, high2, cosine2 = merges(unit_rows(means[0, 0], mean_norms), "the components of the first stage")
        del means
        above = int(np.count_nonzero(cosine2 > self.tau))
        taken2 = n_first - n_keep if self.exact_count else above
        second, n_second = connected_components(n_first, low2[:taken2], high2[:taken2])

        component = second[first]  # numbered by first mean, and so by smallest token
        weights = share / np.bincount(second)[component]
        members, starts = group_members(component, n_second)
        centres = weighted_sums(x, starts, members, weights[members])[None, None]
        targets = unit_rows(centres[0, 0], neighbour_cosines(centres)[1].reshape(-1))
        closest = _closest(x, norms, targets)

        counts = np.bincount(closest, minlength=n_second)
        fitted = taken < low.size or taken2 != above
        weakest = [float(c[k - 1]) if k else None for c, k in ((cosine, min(taken, low.size)), (cosine2, taken2))]
        nodes = members[starts[:-1]].astype(np.int64)
        return Choice(
            nodes,
            CONTEXT,
            counts.astype(np.float64),
            merge=_merge(nodes, component, weights, closest, counts),
            positions="compact",
            exactness="approximate: tau is fitted to the budget" if fitted else "exact",
            report={
                "n_first_stage": n_first,
                "n_merges_above_tau": [int(low.size), above],
                "n_merges": [n - n_first, taken2],
                "weakest_merge": weakest,
                "largest_component": int(np.bincount(component).max()),
            },
        )


def _merges_in_frames(x: Any, norms: Any, tau: float) -> tuple[Array, Array, Array]:
    """The merges of single linkage inside each frame whose cosine exceeds tau, over all frames, strongest first and
    ties to the smaller pair: (low, high) [m] int32 node ids, cosine [m] float32."""
    T, P = norms.shape
    found = []
    for t in range(T):  # one after the other: the BLAS under it has threads of its own
        low, high, cosine = merges(unit_rows(x[t].reshape(P, -1), norms[t]), "the tokens of a frame")
        m = int(np.count_nonzero(cosine > tau))
        found.append((low[:m] + np.int32(t * P), high[:m] + np.int32(t * P), cosine[:m]))
    low, high, cosine = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((high, low, -cosine))
    return low[order], high[order], cosine[order]


def _closest(x: Any, norms: Any, targets: Any) -> Array:
    """[N] int64: the row of ``targets`` most similar to each token."""
    from stgraph.kernels.cpu.threads import even_blocks

    T, P = norms.shape
    targets = astype(targets, "float64") if is_tensor(targets) else targets  # once
    blocks = [(t, a, b) for t in range(T) for a, b in even_blocks(P, 1024)]
    found = [nearest(unit_rows(x[t].reshape(P, -1)[a:b], norms[t, a:b]), targets) for t, a, b in blocks]
    return joined(found)


def _merge(nodes: Array, component: Array, weights: Array, closest: Array, counts: Array) -> Any:
    """[K, N]: (mean of the component's means + sum of the tokens assigned) / (number assigned + 1)."""
    every = np.arange(component.size)
    rows = np.concatenate([component, closest])
    values = np.concatenate([weights, np.ones(every.size)]) / (counts[rows] + 1)
    return assignment(nodes, nodes[rows], np.concatenate([every, every]), values, every.size)
