"""Connected components of a graph that grows."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.components import _number, _unite


class Forest:
    """A union-find to which nodes and edges are added.

    Examples
    --------
    >>> forest = Forest()
    >>> forest.add(3, np.array([0], np.int32), np.array([2], np.int32))
    >>> forest.labels()
    array([0, 1, 0], dtype=int32)
    """

    def __init__(self) -> None:
        self._parent = np.arange(1024, dtype=np.int32)
        self.n_nodes = 0

    def add(self, n_nodes: int, src: Array, dst: Array) -> None:
        """Add ``n_nodes`` nodes, and edges ([E] int32 each) among all nodes."""
        self.n_nodes += n_nodes
        there = self._parent.size
        if self.n_nodes > there:
            more = np.arange(there, max(self.n_nodes, 2 * there), dtype=np.int32)
            self._parent = np.concatenate([self._parent, more])
        _unite(self._parent, src, dst)

    def labels(self) -> Array:
        """[n_nodes] int32 canonical labels, as from :func:`stgraph.kernels.cpu.components.connected_components`."""
        labels: Array = _number(self._parent, self.n_nodes)[0]
        return labels
