"""The edge list: what a community backend sees, and what cuGraph is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.arrays import BFLOAT16, to_numpy
from stgraph.devices import is_tensor, to_device
from stgraph.errors import InputError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class EdgeList:
    """An undirected weighted graph, each edge once, sorted by (src, dst).

    Build one from your own arrays with :meth:`from_arrays`, which checks them; the constructor trusts its arguments.

    Attributes
    ----------
    n_nodes : N
    src, dst : [E] int32, src < dst
    weight : [E] float32, finite

    The arrays are NumPy's, or torch tensors on a GPU.
    """

    n_nodes: int
    src: Any
    dst: Any
    weight: Any

    @classmethod
    def from_arrays(cls, n_nodes: int, src: Any, dst: Any, weight: Any | None = None) -> EdgeList:
        """An edge list of arbitrary arrays: any order, either direction; weights default to 1.

        Raises
        ------
        InputError
            unequal lengths, ids outside 0..n_nodes-1, a self-loop, a repeated edge, or a weight that is not finite

        Examples
        --------
        >>> EdgeList.from_arrays(4, [2, 0], [1, 1], [0.5, 0.9]).src
        array([0, 1], dtype=int32)
        """
        if not isinstance(n_nodes, (int, np.integer)) or not 0 <= n_nodes < 2**31:
            raise InputError(f"n_nodes is {n_nodes!r}; it must be an integer from 0 to 2^31 - 1")
        a = to_numpy(src, "src").ravel()
        b = to_numpy(dst, "dst").ravel()
        w = np.ones(a.size, np.float32) if weight is None else to_numpy(weight, "weight").ravel()
        for name, array, kinds in (("src", a, "iu"), ("dst", b, "iu"), ("weight", w, "iuf")):
            if array.size and array.dtype.kind not in kinds and array.dtype != BFLOAT16:
                raise InputError(f"{name} has dtype {array.dtype}; ids are integers and weights are real numbers")
        with np.errstate(over="ignore"):  # too large for float32 becomes Inf, which is refused below
            w = w.astype(np.float32)
        if not a.size == b.size == w.size:
            raise InputError(f"src, dst and weight have {a.size}, {b.size} and {w.size} entries; they must be equal")
        a, b = a.astype(np.int64), b.astype(np.int64)
        low, high = np.minimum(a, b), np.maximum(a, b)
        bad = (low < 0) | (high >= n_nodes) | (low == high) | ~np.isfinite(w)
        if bad.any():
            i = int(np.argmax(bad))
            raise InputError(
                f"edge {i} is ({a[i]}, {b[i]}) with weight {w[i]}; edges join two different nodes of 0..{n_nodes - 1} "
                "with a finite weight"
            )
        order = np.lexsort((high, low))
        low, high = low[order], high[order]
        twice = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
        if twice.any():
            i = int(np.argmax(twice))
            raise InputError(f"edge ({low[i]}, {high[i]}) is given more than once; give each pair once")
        return cls(int(n_nodes), low.astype(np.int32), high.astype(np.int32), w[order])

    @property
    def anchor(self) -> Any:
        """An array that lies where the edges do."""
        return self.src

    @property
    def on_gpu(self) -> bool:
        """Whether the edges lie on a GPU."""
        return is_tensor(self.anchor)

    @property
    def n_edges(self) -> int:
        """E, each undirected edge counted once."""
        return int(self.src.shape[0])

    def to(self, device: Any) -> EdgeList:
        """The same edges on ``device``; on "cpu" as NumPy arrays."""
        return EdgeList(self.n_nodes, *(to_device(a, device) for a in (self.src, self.dst, self.weight)))

    def degrees(self) -> Array:
        """[N] int64: edges at each node."""
        return np.bincount(self.src, minlength=self.n_nodes) + np.bincount(self.dst, minlength=self.n_nodes)

    def subgraph(self, nodes: Array) -> EdgeList:
        """The edges among ``nodes`` ([n] ascending ids), renumbered 0..n-1 in that order."""
        place = np.full(self.n_nodes, -1, np.int32)
        place[nodes] = np.arange(len(nodes), dtype=np.int32)
        a, b = place[self.src], place[self.dst]
        inside = (a >= 0) & (b >= 0)
        return EdgeList(len(nodes), a[inside], b[inside], self.weight[inside])

    def __repr__(self) -> str:
        return f"EdgeList({self.n_nodes:,} nodes, {self.n_edges:,} edges)"
