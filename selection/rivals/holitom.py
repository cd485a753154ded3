"""HoliTom's outer stage: still positions are merged over time and clustered, the rest kept by received attention."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.community.density import density_peaks, peak_scores, scaled_distances
from stgraph.devices import to_host
from stgraph.kernels import kernels_for
from stgraph.selection.algorithms.static_windows import static_windows
from stgraph.selection.assignment import assignment
from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, FittedMethod, check_share
from stgraph.selection.reasons import ATTENTION, CONTEXT
from stgraph.selection.signals.encoder_grid import on_lattice
from stgraph.tokens import VideoTokens

NEIGHBOURS = 7  # of the density


@dataclass(frozen=True, kw_only=True)
class HoliTom(FittedMethod):
    """HoliTom without its step inside the LLM (``holitom/llava_arch.py``).

    Windows of frames are chosen to merge the most still positions over time; a window's still positions become
    density-peak centres, and each frame keeps its moving tokens with the most received attention. Two passes over the
    features, and a distance matrix quadratic in the still positions of each window.

    Attributes
    ----------
    tau : cosine to the frame before above which a position is still, at every step of a window
    beta : weight of a centre in its merged token; the mean of the tokens that joined it has 1 - beta
    """

    tau: float = 0.8
    beta: float = 0.6

    name: ClassVar[str] = "holitom"
    paper: ClassVar[str] = "HoliTom, NeurIPS 2025"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True
    requires: ClassVar[frozenset[str]] = frozenset({"enc_recv_attn"})

    def __post_init__(self) -> None:
        check_share("tau", self.tau, -1.0)
        check_share("beta", self.beta)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The centres and moving tokens of the authors' rule, fitted to ``n_keep`` by attention."""
        x, grid = tokens.lattice, tokens.grid
        n, (T, P) = grid.n_nodes, (grid.T, grid.H * grid.W)
        received = on_lattice(tokens, tokens.signal("enc_recv_attn", self.name), "enc_recv_attn")
        attention = received.reshape(-1).astype(np.float64)
        cosine, _ = kernels_for(x, "frame_similarity").frame_cosines(x, np.arange(T) - 1)
        still = to_host(cosine).reshape(T, P)[1:] > self.tau
        windows, saved = static_windows(still)
        share = min(float(budget.ratio(grid)) / ((n - saved) / n), 1)

        static = np.zeros((T, P), np.bool_)
        merged = [_Merged.nothing()]
        for first, last in windows:
            if first < last:
                positions = np.flatnonzero(still[first:last].all(axis=0))
                static[first : last + 1, positions] = True
                merged.append(_cluster(x, first, last, positions, round(positions.size * share), self.beta))
        dynamic = _most_attended(attention, ~static, share)
        is_centre = np.zeros(n, np.bool_)
        is_centre[np.concatenate([m.rows for m in merged])] = True
        n_static, n_dynamic = int(np.count_nonzero(is_centre)), int(np.count_nonzero(dynamic))
        change = n_keep - n_static - n_dynamic if self.exact_count else 0
        if change:
            dynamic, is_centre = _fit(attention, dynamic, is_centre, change)
        nodes = np.flatnonzero(dynamic | is_centre)
        return Choice(
            nodes=nodes,
            reason=np.where(is_centre[nodes], CONTEXT, ATTENTION),
            scores=attention[nodes],
            merge=_merge(merged, nodes, is_centre),
            exactness=_exactness(change),
            report={
                "windows": [list(window) for window in windows],
                "n_saved": saved,
                "share": share,
                "n_static": n_static,
                "n_dynamic": n_dynamic,
                "n_added": max(change, 0),
                "n_dropped": max(-change, 0),
            },
        )


@dataclass(frozen=True, eq=False)
class _Merged:
    """Entries of the assignment matrix, [m] each: merged token (the node it stands at), token, weight."""

    rows: Array
    columns: Array
    weights: Array

    @classmethod
    def nothing(cls) -> _Merged:
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def _cluster(x: Any, first: int, last: int, positions: Array, n_centres: int, beta: float) -> _Merged:
    """The time means of a window's still ``positions``, clustered around ``n_centres`` of them."""
    if n_centres == 0:
        return _Merged.nothing()
    frames = np.arange(first, last + 1)
    P, L, S = x.shape[1] * x.shape[2], frames.size, positions.size
    columns = frames * P + positions[:, None]  # [S, L]
    # Distances of the means, but where sums are exact, equal distances stay equal. A power of two keeps them exact and
    # out of float32's overflow.
    share = 2.0 ** -ceil(log2(L))
    matrix = (np.arange(S + 1) * L, columns.reshape(-1), np.full(S * L, share))
    sums = kernels_for(x, "merge").weighted_sums(x, *matrix)
    distance = scaled_distances(sums) / (L * share)
    centres = density_peaks(peak_scores(distance, min(NEIGHBOURS, n_centres)), n_centres)
    others = np.setdiff1d(np.arange(S), centres, assume_unique=True)
    joined = distance[np.ix_(others, centres)].argmin(axis=1)
    members = np.bincount(joined, minlength=n_centres)
    owner, weight = np.empty(S, np.int64), np.empty(S)
    owner[centres], weight[centres] = centres, np.where(members > 0, beta, 1.0)
    owner[others], weight[others] = centres[joined], (1 - beta) / members[joined]
    rows = np.repeat(first * P + positions[owner], L)
    return _Merged(rows, columns.reshape(-1), np.repeat(weight / L, L))


def _most_attended(attention: Array, moving: Array, share: float) -> Array:
    """[N] bool: the ceil(count * share) most-attended ``moving`` tokens ([T, P] bool) of each frame."""
    from stgraph.kernels.cpu.top import top_of_groups

    sizes = np.count_nonzero(moving, axis=1)
    counts = np.array([ceil(size * share) for size in sizes.tolist()], np.int64)
    return top_of_groups(attention, np.flatnonzero(moving).astype(np.int32), np.append(0, np.cumsum(sizes)), counts)


def _fit(attention: Array, dynamic: Array, is_centre: Array, change: int) -> tuple[Array, Array]:
    """``change`` tokens more or fewer: the least-attended moving tokens are dropped first, then centres."""
    from stgraph.kernels.cpu.top import top_of

    if change > 0:
        return dynamic | top_of(attention, np.flatnonzero(~(dynamic | is_centre)), change), is_centre
    moving, centres = np.flatnonzero(dynamic), np.flatnonzero(is_centre)
    n_moving = max(0, moving.size + change)
    n_centres = min(centres.size, moving.size + centres.size + change)
    return top_of(attention, moving, n_moving), top_of(attention, centres, n_centres)


def _merge(merged: list[_Merged], nodes: Array, is_centre: Array) -> Any:
    """[K, N] csr_array: merged tokens that are kept, and the others unchanged."""
    rows, columns, weights = (
        np.concatenate([getattr(m, name) for m in merged]) for name in ("rows", "columns", "weights")
    )
    kept, whole = is_centre[rows], nodes[~is_centre[nodes]]
    members, values = np.append(columns[kept], whole), np.append(weights[kept], np.ones(whole.size))
    return assignment(nodes, np.append(rows[kept], whole), members, values, is_centre.size)


def _exactness(change: int) -> str:
    """How far the fit to the budget departs from the authors' choice."""
    if change == 0:
        return "exact"
    how = "tokens of most attention added" if change > 0 else "tokens of least attention dropped"
    return f"approximate: {abs(change):,} {how} to meet the budget"
