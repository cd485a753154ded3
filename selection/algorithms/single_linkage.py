"""Single linkage by cosine similarity: its merges, strongest first."""

from __future__ import annotations

from stgraph.aliases import Array
from stgraph.errors import InputError

MOST_NODES = 40_000  # their similarity matrix takes 6.4 GB


def merges(units: Array, what: str) -> tuple[Array, Array, Array]:
    """All n - 1 merges of single linkage over unit rows [n, d], strongest first, ties to the smaller pair.

    The dense matrix of cosines is formed: O(n^2 d) time, 4 n^2 bytes.

    Parameters
    ----------
    what : name of the rows, for the error

    Returns
    -------
    low, high : [n - 1] int32, a pair of rows in the two groups merged
    cosine : [n - 1] float32, descending

    Raises
    ------
    InputError
        too many rows for a dense matrix
    """
    n = units.shape[0]
    if n > MOST_NODES:
        raise InputError(
            f"{what} are {n:,}; their pairwise similarities would take {4e-9 * n * n:.1f} GB, and at most "
            f"{MOST_NODES:,} are supported. Give fewer frames, a smaller grid, or a lower tau"
        )
    from stgraph.kernels.cpu.spanning_tree import maximum_spanning_tree

    return maximum_spanning_tree(units @ units.T)


def nearest(units: Array, targets: Array) -> Array:
    """[n] int64: the row of ``targets`` ([k, d] unit rows) most similar to each of ``units`` ([n, d]); ties to the
    smaller row."""
    from stgraph.kernels.cpu.spanning_tree import SAME

    similarity = units @ targets.T
    similarity[similarity > SAME] = 1
    closest: Array = similarity.argmax(axis=1)
    return closest
