"""Quadtrees: a pyramid of 2x2 means per frame, and the boxes a frame is cut into."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import concatenated, empty, to_host
from stgraph.graph import FAMILIES
from stgraph.kernels import kernels_for
from stgraph.tokens import VideoTokens


def level_sizes(height: int, width: int, root_level: int) -> list[tuple[int, int]]:
    """Sizes of the levels, tokens first. Sides are halved, rounding up, until one is 2 or both are 1; ``root_level``
    counts down from that coarsest level; if there are too few levels, only the tokens remain.

    Examples
    --------
    >>> level_sizes(14, 14, 1)
    [(14, 14), (7, 7), (4, 4)]
    >>> level_sizes(2, 9, 1)
    [(2, 9)]
    """
    sizes = [(height, width)]
    while 2 not in sizes[-1] and sizes[-1] != (1, 1):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes[: max(1, len(sizes) - root_level)]


def axis_maps(lengths: list[int]) -> tuple[list[Array], list[Array]]:
    """For each level of one axis: the box every token lies in, and its weight in the mean of that box."""
    place, weight = [np.arange(lengths[0])], [np.ones(lengths[0])]
    for length in lengths[:-1]:
        up = (place[-1] + length % 2) // 2
        alone = (up == 0) & (length % 2 == 1)  # the first of an odd number of boxes has no partner
        place.append(up)
        weight.append(weight[-1] * np.where(alone, 1.0, 0.5))
    return place, weight


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Boxes of all levels, numbered: first the N tokens, then level by level, each in raster order.

    Attributes
    ----------
    starts : number of the first box of each level, and the number of all boxes
    boxes : of each level, [T, H, W]: the box that covers each token
    weights : of each level, [H, W]: the weight of each token in the mean of its box
    means : [boxes - N, d] float32, the boxes above the tokens, where the features lie
    norms : [boxes] float64, where the features lie
    least : [boxes] float32, the smallest cosine of a box with one of its parts; above 1 for tokens
    temporal : [N] float32, cosine of each token with the same position one frame later; NaN in the last frame
    """

    starts: list[int]
    boxes: list[Array]
    weights: list[Array]
    means: Any
    norms: Any
    least: Array
    temporal: Array

    def level(self, boxes: Array) -> Array:
        """The level of each box."""
        return np.searchsorted(self.starts, boxes, side="right") - 1

    def cut(self, split: Array) -> Array:
        """[T, H, W]: the box that covers each token, given which boxes split ([boxes] bool)."""
        covering = self.boxes[-1]
        for finer in self.boxes[-2::-1]:
            covering = np.where(split[covering], finer, covering)
        return covering

    def refine(self, split: Array, n_boxes: int) -> Array:
        """[boxes] bool: ``split``, and further boxes until at least ``n_boxes`` cover the tokens; always the one with
        the least similar part next, ties to the smaller token."""
        from stgraph.kernels.cpu.components import group_members

        n, n_tokens, below_root = self.least.size, self.temporal.size, self.starts[-2]
        parent, first = np.zeros(n, np.int32), np.empty(n, np.int64)
        for level, coarser in pairwise(self.boxes):
            parent[level] = coarser
        for level in self.boxes:
            first[level.reshape(-1)[::-1]] = np.arange(n_tokens)[::-1]
        parts, starts = group_members(parent[:below_root], n)
        present = np.unique(self.cut(split))
        count, split = present.size, np.zeros(n, np.bool_)  # only what lies above the cut; below, nothing is decided
        above = present
        for _ in self.boxes[1:]:
            above = np.unique(parent[above[above < below_root]])
            split[above] = True
        waiting = list(zip(*(a[present].tolist() for a in (self.least, first)), present.tolist(), strict=True))
        heapq.heapify(waiting)
        while count < n_boxes:
            box = heapq.heappop(waiting)[2]
            split[box] = True
            children = parts[starts[box] : starts[box + 1]]
            count += children.size - 1
            for child in children.tolist():
                heapq.heappush(waiting, (float(self.least[child]), int(first[child]), child))
        return split


def build_pyramid(tokens: VideoTokens, root_level: int) -> Pyramid:
    """The pyramid from the tokens up to ``root_level`` (:func:`level_sizes`).

    Raises
    ------
    FeatureError
        a token holds NaN or Inf
    """
    x, (T, H, W) = tokens.lattice, tokens.grid.shape
    sizes = level_sizes(H, W, root_level)
    starts = [0, *np.cumsum([T * h * w for h, w in sizes]).tolist()]
    rows, row_weights = axis_maps([h for h, _ in sizes])
    columns, column_weights = axis_maps([w for _, w in sizes])
    frames = np.arange(T)[:, None, None]
    boxes = [
        start + (frames * h + y[:, None]) * w + z
        for start, (h, w), y, z in zip(starts, sizes, rows, columns, strict=False)
    ]
    weights = [np.outer(a, b) for a, b in zip(row_weights, column_weights, strict=True)]

    cosines, token_norms = kernels_for(x, "neighbours").neighbour_cosines(x)
    means = empty((starts[-1] - starts[1], tokens.dimension), "float32", like=x)
    norms, least = [token_norms], [np.full(T * H * W, 2, np.float32)]
    below, pool_level = x, kernels_for(x, "quadtree").pool_level
    for a, b, (h, w) in zip(starts[1:], starts[2:], sizes[1:], strict=False):
        level = means[a - starts[1] : b - starts[1]]
        level_norms, level_least = pool_level(below, norms[-1], level)
        norms.append(level_norms)
        least.append(to_host(level_least).reshape(-1))
        below = level.reshape(T, h, w, -1)
    return Pyramid(
        starts,
        boxes,
        weights,
        means,
        concatenated(tuple(level.reshape(-1) for level in norms)),
        np.concatenate(least),
        to_host(cosines[FAMILIES.index("temporal")]).reshape(-1),
    )
