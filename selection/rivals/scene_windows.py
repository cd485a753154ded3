"""Windows of frames that cluster together (PruneVid's temporal segmentation)."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from stgraph.aliases import Array
from stgraph.community.density import density_peaks, peak_scores


def scene_windows(distance: Array, n_clusters: int, k: int) -> list[tuple[int, int]]:
    """Windows of frames: density-peak clusters of the frames, made contiguous.

    A cluster keeps its longest runs of frames, including all ties, unless they are single frames. Any other stretch,
    from first to last, joins the longer of its adjacent runs, the earlier one if equal.

    Parameters
    ----------
    distance : [T, T] float64, between frames
    n_clusters : from 1 to T
    k : number of nearest frames for the density

    Returns
    -------
    (first, end) frames of each window, half-open, in order
    """
    centres = density_peaks(peak_scores(distance, k), n_clusters)
    nearest = distance[:, centres].argmin(axis=1)
    nearest[centres] = np.arange(centres.size)
    return contiguous(nearest.tolist())


def contiguous(labels: list[int]) -> list[tuple[int, int]]:
    """The windows of a sequence of labels; see :func:`scene_windows`.

    Examples
    --------
    >>> contiguous([0, 0, 0, 1, 0, 1, 1])
    [(0, 5), (5, 7)]
    >>> contiguous([0, 1, 2])
    [(0, 3)]
    """
    longest: dict[int, int] = {}
    runs = [(label, len(list(run))) for label, run in groupby(labels)]
    for label, length in runs:
        longest[label] = max(longest.get(label, 0), length)
    settled = [label if 1 < longest[label] == length else None for label, length in runs]
    lengths = [length for _, length in runs]
    kept: list[tuple[int | None, int]] = []
    for one, length in zip(settled, lengths, strict=True):  # what is not settled, or of one label, is one stretch
        if kept and kept[-1][0] == one:
            kept[-1] = one, kept[-1][1] + length
        else:
            kept.append((one, length))
    joined: list[tuple[int | None, int]] = []
    for i, (settled_label, length) in enumerate(kept):
        before: tuple[int | None, int] = joined[-1] if joined else (None, 0)
        after = kept[i + 1] if i + 1 < len(kept) else (None, 0)
        beside = before[0] if before[1] >= after[1] else after[0]
        taken = beside if settled_label is None else settled_label
        if joined and before[0] == taken:
            joined[-1] = taken, before[1] + length
        else:
            joined.append((taken, length))
    ends = np.cumsum([length for _, length in joined]).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))
