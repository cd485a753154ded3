"""Community colours: adjacent communities differ, and a community keeps its colour across partitions."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.colours import COMMUNITY
from stgraph.grid import TokenGrid

ALONE = 255  # instead of a palette index: a single-token community


def community_colours(
    grid: TokenGrid, labels: Array, reference: tuple[Array, Array] | None = None, n_colours: int = len(COMMUNITY)
) -> Array:
    """A palette index for each community.

    Communities are coloured from the largest to the smallest. The main heir of a community of the reference takes its
    colour; any other community takes the colour least present among its coloured neighbours on the lattice, weighted by
    border length. So the pieces of one community differ from each other, and a region looks the same under two backends
    that agree on it.

    Parameters
    ----------
    grid : TokenGrid
    labels : [N] int, communities numbered from 0 without gaps
    reference : (labels [N], colours [k']) of another partition of the same tokens
    n_colours : size of the palette

    Returns
    -------
    [k] uint8, 255 for a community of one token
    """
    sizes = np.bincount(labels)
    colours = np.full(sizes.size, ALONE, np.uint8)
    wished = np.full(sizes.size, ALONE, np.uint8) if reference is None else _inherited(labels, *reference)
    starts, neighbours, borders = _borders(grid, labels, sizes.size)
    used = np.zeros(n_colours)
    for c in np.argsort(-sizes, kind="stable"):
        if sizes[c] == 1:
            break
        choice = int(wished[c])
        if choice == ALONE:
            around = slice(starts[c], starts[c + 1])
            near = colours[neighbours[around]]
            known = near != ALONE
            seen = np.bincount(near[known], borders[around][known], n_colours)
            choice = int(np.lexsort((used, seen))[0])
        colours[c] = choice
        used[choice] += sizes[c]
    return colours


def _inherited(labels: Array, before: Array, colours: Array) -> Array:
    """[k] uint8: colour of the reference community each community is the main heir of, otherwise 255."""
    n_here, n_before = int(labels.max()) + 1, colours.size
    pairs, shared = np.unique(labels.astype(np.int64) * n_before + before, return_counts=True)
    here, there = np.divmod(pairs, n_before)
    order = np.lexsort((pairs, shared))  # ascending: the largest overlap is written last and stays
    best_of_here, best_of_there = np.zeros(n_here, np.int64), np.zeros(n_before, np.int64)
    best_of_here[here[order]] = there[order]
    best_of_there[there[order]] = here[order]
    mutual = best_of_there[best_of_here] == np.arange(n_here)
    return np.where(mutual, colours[best_of_here], ALONE).astype(np.uint8)


def _borders(grid: TokenGrid, labels: Array, count: int) -> tuple[Array, Array, Array]:
    """Adjacent communities on the lattice, as rows: (starts [k + 1], neighbours, border lengths)."""
    lattice = labels.reshape(grid.shape).astype(np.int64)
    pairs = []
    for axis in range(3):
        n = lattice.shape[axis]
        a, b = lattice.take(range(n - 1), axis).ravel(), lattice.take(range(1, n), axis).ravel()
        across = a != b
        pairs += [a[across] * count + b[across], b[across] * count + a[across]]
    keys, lengths = np.unique(np.concatenate(pairs), return_counts=True)
    rows, neighbours = np.divmod(keys, count)
    return np.searchsorted(rows, np.arange(count + 1)), neighbours, lengths
