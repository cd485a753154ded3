"""VisPruner's near-duplicate removal: rounds of matching every second token with the others."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled


@compiled()
def _remove(cosine, tokens, n_left, per_round, items, kept, scores):  # type: ignore[no-untyped-def]
    """Leaves the survivors at the start of ``items``; returns the number of rounds. ``kept``, ``scores``: room."""
    n, rounds = items.size, 0
    while n > n_left:
        n_even = (n + 1) // 2
        drop = min(per_round, n - n_left, n_even)
        for i in range(n_even):
            item = items[2 * i]
            best = np.float32(-2)
            for j in range(1, n, 2):
                best = max(best, cosine[item, items[j]])
            at = i  # insertion: descending score, then ascending token
            while at > 0 and (
                scores[at - 1] < best or (scores[at - 1] == best and tokens[kept[at - 1]] > tokens[item])
            ):
                scores[at], kept[at] = scores[at - 1], kept[at - 1]
                at -= 1
            scores[at], kept[at] = best, item
        bound = scores[drop - 1]
        above = equal = 0
        for i in range(n_even):
            above += scores[i] > bound
            equal += scores[i] == bound
        spared = above + equal - drop  # of those at the bound, the first in token order
        for i in range(spared):
            kept[i] = kept[above + i]
        for i in range(above + equal, n_even):
            kept[i - drop] = kept[i]
        for j in range(1, n, 2):
            kept[n_even - drop + j // 2] = items[j]
        n -= drop
        for i in range(n):
            items[i] = kept[i]
        rounds += 1
    return rounds


def remove_duplicates(cosine: Array, tokens: Array, n_left: int, per_round: int) -> tuple[Array, int]:
    """The ``n_left`` items that remain of a ranked list, and the rounds it took.

    While more are left, every even-placed item of the list is scored by its largest cosine to the odd-placed ones, and
    the items with the highest scores are dropped: at most ``per_round``, no more than needed, ties by larger token. The
    next list is the remaining even-placed items by descending score (ties by ascending token), then the odd-placed ones
    in order.

    Parameters
    ----------
    cosine : [n, n] float32, in list order
    tokens : [n] integers, the token of each item
    n_left : at least 1

    Returns
    -------
    [n_left] int64 places in the list
    """
    items = np.arange(tokens.size, dtype=np.int64)
    kept, scores = np.empty_like(items), np.empty(items.size, np.float32)
    rounds = _remove(cosine, tokens.astype(np.int64, copy=False), n_left, per_round, items, kept, scores)
    return items[:n_left], int(rounds)
