"""Single linkage by cosine similarity: its merges, strongest first."""

from __future__ import annotations

from typing import Any

from stgraph.aliases import Array
from stgraph.devices import astype, is_tensor, largest_of_rows, to_host
from stgraph.errors import InputError
from stgraph.kernels import kernels_for

MOST_NODES = 40_000  # their similarity matrix takes 6.4 GB


def merges(units: Any, what: str) -> tuple[Array, Array, Array]:
    """All n - 1 merges of single linkage over unit rows [n, d], strongest first, ties to the smaller pair.

    The dense matrix of cosines is formed where the rows lie: O(n^2 d) time, 4 n^2 bytes.

    Parameters
    ----------
    what : name of the rows, for the error

    Returns
    -------
    low, high : [n - 1] int32, a pair of rows in the two groups merged
    cosine : [n - 1] float32, descending; all in host memory

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
    kernel = kernels_for(units, "spanning_tree")
    low, high, cosine = map(to_host, kernel.maximum_spanning_tree(kernel.unit_products(units)))
    return low, high, cosine


def nearest(units: Any, targets: Any) -> Any:
    """[n] int64: the row of ``targets`` ([k, d] unit rows) most similar to each of ``units`` ([n, d]); ties to the
    smaller row. On a GPU their products are formed in float64."""
    from stgraph.kernels.cpu.spanning_tree import SAME

    if is_tensor(units):
        similarity = astype(astype(units, "float64") @ astype(targets, "float64").T, "float32")
    else:
        similarity = units @ targets.T
    similarity[similarity > float(SAME)] = 1
    return largest_of_rows(similarity)[0]
