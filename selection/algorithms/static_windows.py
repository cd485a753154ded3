"""Windows of frames in which most positions are static (HoliTom, section 3.2)."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array

LONGEST = 1024  # frames, as the authors set it


def static_windows(still: Array, longest: int = LONGEST) -> tuple[list[tuple[int, int]], int]:
    """The windows under which most tokens can be replaced by their mean over time.

    A position that is still throughout a window of L frames saves L - 1 tokens. Dynamic programming over the frames
    finds the disjoint windows with the largest total; of equal ones the later, shorter window wins, and single frames
    win over a window that saves nothing.

    Parameters
    ----------
    still : [T-1, P] bool
        whether the position did not change from frame t to frame t + 1
    longest : maximum frames per window

    Returns
    -------
    windows : (first, last) frame of each, in order, covering all T frames; single frames where nothing is saved
    saved : tokens saved in total; time is O(T min(T, longest) P)
    """
    T = still.shape[0] + 1
    total = np.zeros(T + 1, np.int64)  # total[t]: most tokens saved in the first t frames
    best, start = np.full(T, -1, np.int64), np.zeros(T, np.int64)  # best window that ends at a frame
    first = np.arange(T)
    for s in range(T):
        # By now every window that ends at frame s has been seen: they start earlier.
        if best[s] > total[s]:
            total[s + 1], first[s] = best[s], start[s]
        else:
            total[s + 1] = total[s]
        running = np.ones(still.shape[1], np.bool_)
        for step, at in enumerate(range(s, min(T - 1, s + longest - 1)), start=1):
            running &= still[at]
            positions = int(np.count_nonzero(running))
            if positions == 0:
                break
            saved = total[s] + positions * step
            if saved >= best[at + 1]:
                best[at + 1], start[at + 1] = saved, s
    windows = []
    last = T - 1
    while last >= 0:
        windows.append((int(first[last]), last))
        last = int(first[last]) - 1
    return windows[::-1], int(total[T])
