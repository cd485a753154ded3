"""PruneVid: still positions averaged over time within a scene, and density-peak clusters in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.community.density import density_peaks, peak_scores, scaled_distances
from stgraph.devices import astype, beside, concatenated, over_positive, to_host
from stgraph.frame_work import joined
from stgraph.selection.assignment import assignment
from stgraph.selection.budget import Budget
from stgraph.selection.method import Choice, FittedMethod, approximate, check_share
from stgraph.selection.reasons import CONTEXT, DIVERSITY
from stgraph.selection.rivals.scene_windows import scene_windows
from stgraph.selection.rivals.unit_features import wide_units
from stgraph.tokens import VideoTokens

NEIGHBOURS = 7  # of the density, of frames and of tokens
FEWEST = 14  # the authors cluster groups of more tokens than these


@dataclass(frozen=True, eq=False)
class Group:
    """Points clustered together, and their pairwise distances.

    Attributes
    ----------
    members : [n, L] int64: nodes averaged into each point; the first gives its position
    distance : [n, n] float64
    """

    members: Array
    distance: Array


@dataclass(frozen=True, eq=False)
class Merged:
    """Tokens after merging: entries of the assignment matrix, [m] each, and the group of every merged token."""

    rows: Array
    columns: Array
    weights: Array
    group: dict[int, int]


@dataclass(frozen=True, kw_only=True)
class PruneVid(FittedMethod):
    """PruneVid's merging before the LLM (arXiv 2412.16117; ``models/pllava/modeling_pllava.py``).

    Frames are clustered into windows (:func:`stgraph.selection.rivals.scene_windows.scene_windows`). Positions that are
    similar throughout a window, by the mean cosine of all pairs, are averaged over time. The averages of a window form
    one group, the other tokens of each frame another, and each group becomes the means of density-peak clusters, at the
    positions of their centres. Scores are the tokens merged into each. Quadratic in the tokens of a group.

    Attributes
    ----------
    tau : mean cosine above which a position is still in a window
    segment_ratio : clusters of frames, as a share of the frames; at least one cluster
    cluster_ratio : clusters of a group, as a share of its tokens, with ``exact_count=False``
    exact_count : True shares K among groups in proportion to their tokens, at least one each; if all groups together
        have fewer than K, the tokens of still positions least similar to their average are also kept. False makes
        int(share) clusters in groups of more than 14 tokens, and keeps smaller groups whole
    """

    tau: float = 0.8
    segment_ratio: float = 0.25
    cluster_ratio: float = 0.5

    name: ClassVar[str] = "prunevid"
    paper: ClassVar[str] = "PruneVid, ACL Findings 2025"
    on_gpu: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("tau", self.tau, -1.0)
        check_share("segment_ratio", self.segment_ratio)
        check_share("cluster_ratio", self.cluster_ratio)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """The means of the clusters, as many as the budget or the authors' share gives."""
        found, report, fitted = self.merged(tokens, n_keep if self.exact_count else None)
        return chosen(found, tokens.grid.n_nodes, exactness=approximate(*fitted), report=report)

    def merged(self, tokens: VideoTokens, n_keep: int | None) -> tuple[Merged, dict[str, Any], list[str]]:
        """All tokens after merging down to ``n_keep`` or by the authors' share, a report, and departures from the
        authors."""
        T, P = tokens.grid.T, tokens.grid.H * tokens.grid.W
        frames = tokens.lattice.reshape(T, P, -1)
        sums = concatenated(tuple(astype(frame, "float64").sum(axis=0)[None] for frame in frames))
        n_clusters = max(1, int(T * self.segment_ratio))
        windows = scene_windows(scaled_distances(sums) / P, n_clusters, NEIGHBOURS)
        groups: list[Group] = []
        n_still = 0
        for window in windows:
            found, still = _groups(frames, window, self.tau)
            groups += found
            n_still += still
        sizes = np.array([len(group.members) for group in groups])
        theirs = np.where(sizes > FEWEST, np.maximum(1, (sizes * self.cluster_ratio).astype(np.int64)), sizes)
        counts = theirs if n_keep is None else shared(sizes, min(n_keep, int(sizes.sum())))
        n_extra = 0 if n_keep is None else n_keep - int(counts.sum())
        merged = _clustered(groups, counts, _least_alike(frames, groups, n_extra))
        other = int(np.count_nonzero(counts != theirs))
        fitted = (
            [f"{other:,} of {sizes.size:,} groups have another number of clusters, to meet the budget"] if other else []
        )
        if n_extra:
            fitted.append(f"{n_extra:,} tokens of still positions kept beside their average")
        report = {
            "windows": [[first, end - 1] for first, end in windows],
            "n_still": n_still,
            "n_groups": int(sizes.size),
            "n_unclustered": int(sizes.sum()),
            "n_extra": n_extra,
        }
        return merged, report, fitted


def shared(sizes: Array, n: int) -> Array:
    """``n`` shared among groups in proportion to their ``sizes`` ([G], at least 1 each): one each if ``n`` allows, the
    rest in proportion to their further tokens, by largest remainder, ties to the earlier group.

    Examples
    --------
    >>> shared(np.array([10, 1, 5]), 8).tolist()
    [4, 1, 3]
    """
    least = int(n >= sizes.size)
    room = sizes.astype(np.int64) - least
    left, total = n - least * sizes.size, max(1, int(room.sum()))
    counts = left * room // total
    order = np.argsort(-(left * room % total), kind="stable")
    counts[order[: left - int(counts.sum())]] += 1
    found: Array = counts + least
    return found


def _groups(frames: Any, window: tuple[int, int], tau: float) -> tuple[list[Group], int]:
    """The non-empty groups of a window of ``frames`` ([T, P, d]): its still positions, then the other tokens of each
    frame; and the number of still positions."""
    first, end = window
    L, P = end - first, frames.shape[1]
    still = np.zeros(P, np.bool_)
    if L > 1:
        directions: Any = 0.0
        lengths: Any = 0.0
        for t in range(first, end):
            x = wide_units(frames[t])
            directions = directions + x
            lengths = lengths + astype((x != 0).any(axis=1), "float64")
        alike = ((directions * directions).sum(axis=1) - lengths) / (L * (L - 1))
        still = np.round(to_host(alike), 12) > tau  # what is tau on paper is not above it
    groups = []
    at = np.flatnonzero(still)
    if at.size:
        sums = astype(frames[first:end][:, beside(at, frames)], "float64").sum(axis=0)
        members = (np.arange(first, end) * P)[None, :] + at[:, None]
        groups.append(Group(members, scaled_distances(sums) / L))
    moving = np.flatnonzero(~still)
    if moving.size:
        for t in range(first, end):
            groups.append(Group((t * P + moving)[:, None], scaled_distances(frames[t][beside(moving, frames)])))
    return groups, int(at.size)


def _clustered(groups: list[Group], counts: Array, extra: Array) -> Merged:
    """Each group as the means of counts[g] clusters, and the nodes ``extra`` unchanged, as another group."""
    rows, columns, weights, of = [], [], [], {}
    for g, (group, count) in enumerate(zip(groups, counts.tolist(), strict=True)):
        if count == 0:
            continue
        n, L = group.members.shape
        owner = np.arange(n)
        if count < n:
            centres = density_peaks(peak_scores(group.distance, NEIGHBOURS), count)
            nearest = group.distance[:, centres].argmin(axis=1)
            nearest[centres] = np.arange(count)
            owner = centres[nearest]
        rows.append(np.repeat(group.members[owner, 0], L))
        columns.append(group.members.reshape(-1))
        weights.append(np.repeat(1 / (np.bincount(owner, minlength=n)[owner] * L), L))
        of.update(dict.fromkeys(np.unique(group.members[owner, 0]).tolist(), g))
    if extra.size:
        rows.append(extra)
        columns.append(extra)
        weights.append(np.ones(extra.size))
        of.update(dict.fromkeys(extra.tolist(), max(of.values()) + 1))
    return Merged(np.concatenate(rows), np.concatenate(columns), np.concatenate(weights), of)


def _least_alike(frames: Any, groups: list[Group], count: int) -> Array:
    """[count] nodes of still positions, other than those representing an average, with the lowest cosine to their
    average."""
    from stgraph.kernels.cpu.top import top_of

    if count == 0:
        return np.zeros(0, np.int64)
    T, P, _ = frames.shape
    difference = np.full(T * P, -np.inf)
    positions = [members for group in groups for members in group.members if members.size > 1]
    found = []
    for members in positions:
        x = astype(frames[beside(members // P, frames), beside(members % P, frames)], "float64")
        total = x.sum(axis=0)
        scale = ((x * x).sum(axis=1) * (total * total).sum()) ** 0.5
        found.append(over_positive((x * total).sum(axis=1), scale)[1:])
    if found:
        difference[np.concatenate([members[1:] for members in positions])] = 1 - np.round(joined(found), 12)
    return np.flatnonzero(top_of(difference, np.flatnonzero(np.isfinite(difference)), count))


def chosen(merged: Merged, n: int, kept: Array | None = None, scores: Array | None = None, **said: Any) -> Choice:
    """The merged tokens, or only the ``kept`` ones ([n] bool)."""
    stays = np.ones(merged.rows.size, np.bool_) if kept is None else kept[merged.rows]
    rows, columns = merged.rows[stays], merged.columns[stays]
    nodes = np.unique(rows)
    sizes = np.bincount(rows, minlength=n)[nodes]
    return Choice(
        nodes,
        np.where(sizes > 1, CONTEXT, DIVERSITY),
        sizes.astype(np.float64) if scores is None else scores[nodes],
        merge=assignment(nodes, rows, columns, merged.weights[stays], n),
        positions="compact",
        **said,
    )
