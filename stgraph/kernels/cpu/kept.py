"""Kept tokens and the counts of a report, from masks over all tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled


@compiled()
def _tally(first, second, third, fourth, labels, starts, before, limit):  # type: ignore[no-untyped-def]
    counts = np.zeros(7, np.int64)
    for i in range(labels.size):
        counts[0] += first[i]
        counts[1] += second[i]
        counts[2] += third[i]
        counts[3] += fourth[i]
        counts[4] = max(counts[4], labels[i])
    for g in range(starts.size - 1):
        counts[5] = max(counts[5], starts[g + 1] - starts[g])
    for size in before:
        counts[6] += size if size > limit else 0
    return counts


def kept_tokens(kept: Array, first: Array, second: Array, scores: Array, most: int) -> tuple[Array, Array, Array]:
    """The true places of ``kept``, their reasons and scores.

    Parameters
    ----------
    kept, first, second : [N] bool
    scores : [N] float32 or float64
    most : upper bound of their number

    Returns
    -------
    nodes [K] int64, ascending; codes [K] uint8, 1 where ``first`` is true plus 2 where ``second`` is; scores [K]
    float32. On a GPU all have length ``most``, padded with the first token's, so that there is no wait for K
    """
    nodes = np.flatnonzero(kept)
    codes = first[nodes].astype(np.uint8) + 2 * second[nodes].astype(np.uint8)
    return nodes, codes, scores[nodes].astype(np.float32, copy=False)


def tally(
    masks: tuple[Array, Array, Array, Array], labels: Array, starts: Array, before: Array | None, limit: int
) -> list[Any]:
    """Seven counts: the true values of four masks ([N] bool), the largest label, the largest group, and the nodes in
    groups above ``limit`` of another grouping.

    Parameters
    ----------
    labels : [N] int32, in [0, N)
    starts : [groups + 1] int64, where each group starts among its members
    before : sizes of the other grouping's groups; None counts 0
    limit : largest size that is not counted

    Returns
    -------
    integers; on a GPU scalars on the device
    """
    if before is None:
        before = np.empty(0, np.int64)
    counts: list[Any] = _tally(*masks, labels, starts, before, limit).tolist()
    return counts
