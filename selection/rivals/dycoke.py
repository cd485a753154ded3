"""DyCoke's temporal token merging: some frames are kept whole, and those between them are pruned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.kernels import kernels_for
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.method import Choice, FittedMethod, approximate, check_share
from stgraph.selection.reasons import EVENT, SAMPLE
from stgraph.selection.rivals.uniform import even_places
from stgraph.tokens import VideoTokens

WHOLE = 2.0  # the score of a token of a whole frame: the largest difference there is


@dataclass(frozen=True, kw_only=True)
class DyCokeTtm(FittedMethod):
    """DyCoke's temporal token merging (CVPR 2025, arXiv 2411.15024; ``llava/model/llava_arch.py``); never averages.

    In groups of four frames the first is kept whole; the second and fourth keep the tokens least similar to the same
    position one frame before, the third those least similar to the first. Scores are the differences 1 - cosine, and 2
    for tokens of whole frames. If the budget is too small for the whole frames, groups double in size.

    Attributes
    ----------
    exact_count : False keeps int((1 - prune) P) tokens of every pruned frame, and the third frame of the last group
        whole, as the authors' code does
    prune : share of each pruned frame that is dropped, with ``exact_count=False``
    """

    prune: float = 0.7

    name: ClassVar[str] = "dycoke-ttm"
    paper: ClassVar[str] = "DyCoke, CVPR 2025"
    on_gpu: ClassVar[bool] = True
    checks_features: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("prune", self.prune)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Keep whole frames, and in the others the tokens that differ most from their reference frame."""
        from stgraph.kernels.cpu.top import top_of_groups

        T, P = tokens.grid.T, tokens.grid.H * tokens.grid.W
        if self.exact_count:
            group = group_size(n_keep, T, P)
            whole = np.arange(T) % group == 0
        else:
            group, whole = 4, released_whole_frames(T)
        kernels = kernels_for(tokens.lattice, "frame_similarity")
        cosine, _ = kernels.frame_cosines(tokens.lattice, reference_frames(T))  # bad features are found at any budget
        difference = np.where(whole[:, None, None], np.float32(WHOLE), 1 - to_host(cosine)).reshape(-1)
        if self.exact_count and n_keep < P:
            nodes = even_places(P, n_keep)
        else:
            counts = np.full(T, P)
            rest = n_keep - int(whole.sum()) * P
            spread = per_frame_counts(rest, T - int(whole.sum())) if self.exact_count else int((1 - self.prune) * P)
            counts[~whole] = spread
            members = np.arange(T * P, dtype=np.int32)
            nodes = np.flatnonzero(top_of_groups(difference, members, np.arange(T + 1) * P, counts))
        report = {
            "frames_a_group": group,
            "n_whole_frames": int(whole.sum()) if nodes.size >= P else 0,
            "n_from_whole_frames": int(whole[nodes // P].sum()),
        }
        return Choice(
            nodes,
            np.where(whole[nodes // P], SAMPLE, EVENT),
            difference[nodes],
            exactness=approximate(*self._departures(T, group, n_keep < P)),
            report=report,
        )

    def _departures(self, T: int, group: int, part_of_one_frame: bool) -> list[str]:
        """Departures from what the authors' code would keep."""
        if not self.exact_count:
            return ["the odd last frame, which theirs loses, is kept"] if T % 2 else []
        if part_of_one_frame:
            return ["less than one whole frame fits the budget"]
        if group > 4:
            return [f"groups of {group} frames, not 4, to meet the budget"]
        return ["the last group of frames is treated like the others, and the budget is met exactly"]


def reference_frames(T: int) -> Array:
    """[T] int64: the frame each frame is compared with, t minus its lowest set bit: the frame before for odd t, the
    first of the group for the third of four. -1 for frame 0.

    Examples
    --------
    >>> reference_frames(8).tolist()
    [-1, 0, 0, 2, 0, 4, 4, 6]
    """
    t = np.arange(T)
    reference: Array = t - (t & -t)
    reference[0] = -1
    return reference


def group_size(n_keep: int, T: int, P: int) -> int:
    """Frames per group: 4, doubled until one whole frame per group amounts to at most ``n_keep`` tokens, or one group
    is left.

    Examples
    --------
    >>> group_size(90, 64, 10)
    8
    """
    group = 4
    while group < T and -(-T // group) * P > n_keep:
        group *= 2
    return group


def released_whole_frames(T: int) -> Array:
    """[T] bool: the frames the authors' code keeps whole: the first of each group and the third of the last. An odd
    last frame is one of them; the authors' code drops it.

    Examples
    --------
    >>> np.flatnonzero(released_whole_frames(9)).tolist()
    [0, 4, 8]
    """
    t = np.arange(T)
    whole: Array = (t % 2 == 0) & ((t % 4 == 0) | (t >= T - 2))
    return whole
