"""The smaller grid frames are pooled or scaled to, for a token budget."""

from __future__ import annotations


def pooled_grid(H: int, W: int, most: int) -> tuple[int, int]:
    """The largest (h, w) with at most ``most`` cells in which one side is the other times the frame's aspect ratio,
    rounded half up; the taller one if there are two.

    Examples
    --------
    >>> pooled_grid(14, 14, 58), pooled_grid(4, 6, 8), pooled_grid(7, 7, 1)
    ((7, 7), (2, 3), (1, 1))
    """
    by_height = [(h, min(W, max(1, (2 * h * W + H) // (2 * H)))) for h in range(1, H + 1)]
    by_width = [(min(H, max(1, (2 * w * H + W) // (2 * W))), w) for w in range(1, W + 1)]
    fitting = [(h * w, h, w) for h, w in by_height + by_width + [(1, 1)] if h * w <= most]
    return max(fitting)[1:]
