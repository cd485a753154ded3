"""The edge list: the input of community backends and of cuGraph."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.arrays import BFLOAT16, answer, to_numpy
from stgraph.devices import is_tensor, to_device
from stgraph.errors import InputError
from stgraph.graph_exports import Exports
from stgraph.spelling import Spelled


@dataclass(frozen=True, eq=False)
class EdgeList(Exports, Spelled):
    """An undirected weighted graph, each edge once, sorted by (src, dst).

    Build one from your own arrays with :meth:`from_arrays`, or from another library with :meth:`from_networkx`,
    :meth:`from_igraph`, :meth:`from_scipy`, :meth:`from_pandas` or :meth:`from_arrow`. These check their input; the
    constructor trusts it.

    ``len`` is the number of edges; iteration gives (src, dst, weight), and ``np.asarray`` gives the same as [E, 3]
    float64.

    Attributes
    ----------
    n_nodes : N
    src, dst : [E] int32, src < dst
    weight : [E] float32, finite
    names : original names of the nodes 0..N-1; None if they were 0..N-1 already

    The arrays are NumPy's, or torch tensors on a GPU.
    """

    n_nodes: int
    src: Any
    dst: Any
    weight: Any
    names: tuple[Any, ...] | None = None

    @classmethod
    def from_arrays(
        cls,
        n_nodes: int,
        src: Any,
        dst: Any,
        weight: Any | None = None,
        *,
        names: Sequence[Hashable] | None = None,
    ) -> EdgeList:
        """An edge list from arbitrary arrays: any order, either direction; weights default to 1.

        Parameters
        ----------
        n_nodes : N
        src, dst : [E] integer ids in 0..N-1
        weight : [E] real numbers
        names : N distinct node names, to map back

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
        with np.errstate(over="ignore"):  # values too large for float32 become Inf, which is refused below
            w = w.astype(np.float32)
        if not a.size == b.size == w.size:
            raise InputError(f"src, dst and weight have {a.size}, {b.size} and {w.size} entries; they must be equal")
        a, b = a.astype(np.int64), b.astype(np.int64)
        low, high = np.minimum(a, b), np.maximum(a, b)
        called = _checked_names(names, int(n_nodes))
        bad = (low < 0) | (high >= n_nodes) | (low == high) | ~np.isfinite(w)
        if bad.any():
            i = int(np.argmax(bad))
            raise InputError(
                f"edge {i} is {_shown(a[i], b[i], called)} with weight {w[i]}; an edge joins two different nodes in "
                f"0..{n_nodes - 1} with a finite weight"
            )
        order = np.lexsort((high, low))
        low, high = low[order], high[order]
        twice = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
        if twice.any():
            i = int(np.argmax(twice))
            raise InputError(
                f"edge {_shown(low[i], high[i], called)} is given more than once; give each pair once, in one direction"
            )
        return cls(int(n_nodes), low.astype(np.int32), high.astype(np.int32), w[order], called)

    @classmethod
    def from_networkx(cls, graph: Any, weight: str | EllipsisType | None = ...) -> EdgeList:
        """The edges of a networkx.Graph. Nodes called 0..N-1 keep these ids; others are numbered in the graph's order,
        and :attr:`names` maps back.

        Parameters
        ----------
        graph : networkx.Graph, neither directed nor a multigraph
        weight : edge attribute with the weights; by default ``weight`` if edges carry it, otherwise every edge counts
            1; None counts every edge as 1

        Raises
        ------
        InputError
            the graph is directed, a multigraph or has a self-loop, or a weight is missing, not a number or not finite

        Examples
        --------
        >>> import networkx
        >>> edges = EdgeList.from_networkx(networkx.Graph([("a", "b"), ("b", "c")]))
        >>> edges, edges.names, list(edges)
        (EdgeList(3 nodes, 2 edges), ('a', 'b', 'c'), [(0, 1, 1.0), (1, 2, 1.0)])
        """
        from stgraph import graph_readers

        return graph_readers.from_networkx(graph, weight)

    @classmethod
    def from_igraph(cls, graph: Any, weight: str | EllipsisType | None = ...) -> EdgeList:
        """The edges of an igraph.Graph, weights as in :meth:`from_networkx`; a vertex attribute ``name`` becomes
        :attr:`names`.

        Raises
        ------
        InputError
            the graph is directed or not simple, names repeat, or a weight is missing, not a number or not finite
        """
        from stgraph import graph_readers

        return graph_readers.from_igraph(graph, weight)

    @classmethod
    def from_scipy(cls, matrix: Any, *, names: Sequence[Hashable] | None = None) -> EdgeList:
        """The edges of a symmetric scipy.sparse array [N, N]; stored off-diagonal zeros are edges of weight 0.

        Raises
        ------
        InputError
            the matrix is not square or not symmetric, its diagonal is not zero, or a weight is not finite
        """
        from stgraph import graph_readers

        return graph_readers.from_scipy(matrix, names)

    @classmethod
    def from_pandas(
        cls,
        frame: Any,
        source: str = "src",
        target: str = "dst",
        weight: str | EllipsisType | None = ...,
        *,
        nodes: int | Sequence[Hashable] | None = None,
    ) -> EdgeList:
        """The edges of a pandas.DataFrame with one row per edge; the output of :meth:`to_pandas` round-trips.

        Parameters
        ----------
        source, target : columns of the endpoints: integers are ids, anything else is a name
        weight : column of weights, as in :meth:`from_networkx`
        nodes : N, or all names in the order of their ids, including isolated nodes; by default the largest id + 1, or
            the names in order of appearance

        Raises
        ------
        InputError
            a column, endpoint or weight is missing, an edge is a self-loop, or a pair is given twice
        """
        from stgraph import graph_readers

        return graph_readers.from_pandas(frame, source, target, weight, nodes)

    @classmethod
    def from_arrow(
        cls,
        table: Any,
        source: str = "src",
        target: str = "dst",
        weight: str | EllipsisType | None = ...,
        *,
        nodes: int | Sequence[Hashable] | None = None,
    ) -> EdgeList:
        """The edges of a pyarrow.Table, or of another Arrow table (Polars, DuckDB, ...); see :meth:`from_pandas`."""
        from stgraph import graph_readers

        return graph_readers.from_arrow(table, source, target, weight, nodes)

    @property
    def listed_edges(self) -> EdgeList:
        """The edge list itself."""
        return self

    @property
    def anchor(self) -> Any:
        """An array on the device of the edges."""
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
        src, dst, weight = (to_device(a, device) for a in (self.src, self.dst, self.weight))
        return EdgeList(self.n_nodes, src, dst, weight, self.names)

    def degrees(self) -> Array:
        """[N] int64: number of edges at each node."""
        return np.bincount(self.src, minlength=self.n_nodes) + np.bincount(self.dst, minlength=self.n_nodes)

    def subgraph(self, nodes: Array) -> EdgeList:
        """The edges among ``nodes`` ([n] ascending ids), renumbered 0..n-1 in that order."""
        place = np.full(self.n_nodes, -1, np.int32)
        place[nodes] = np.arange(len(nodes), dtype=np.int32)
        a, b = place[self.src], place[self.dst]
        inside = (a >= 0) & (b >= 0)
        names = None if self.names is None else tuple(self.names[i] for i in nodes)
        return EdgeList(len(nodes), a[inside], b[inside], self.weight[inside], names)

    def __len__(self) -> int:
        return self.n_edges

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        return zip(self.src.tolist(), self.dst.tolist(), self.weight.tolist(), strict=True)

    def __contains__(self, edge: object) -> bool:
        """Whether (a, b), in either direction, is an edge; for (a, b, weight), an edge of that weight."""
        if not isinstance(edge, (tuple, list)) or len(edge) not in (2, 3):
            return False
        if not all(isinstance(end, (int, np.integer)) for end in edge[:2]):
            return False
        low, high = sorted(edge[:2])
        found = (self.src == low) & (self.dst == high)
        return bool((found if len(edge) == 2 else found & (self.weight == edge[2])).any())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("the columns of an edge list can only be combined in a copy; see src, dst and weight")
        columns = (answer(a, "edges", np.float64, None) for a in (self.src, self.dst, self.weight))
        return np.stack(list(columns), axis=1).astype(dtype or np.float64, copy=False)

    def __repr__(self) -> str:
        return f"EdgeList({self.n_nodes:,} nodes, {self.n_edges:,} edges)"


def _checked_names(names: Sequence[Hashable] | None, n_nodes: int) -> tuple[Any, ...] | None:
    if names is None:
        return None
    called = tuple(names)
    if len(called) != n_nodes:
        raise InputError(f"{len(called):,} names for {n_nodes:,} nodes; give one name per node")
    try:
        seen: dict[Hashable, int] = {}
        for i, name in enumerate(called):
            if seen.setdefault(name, i) != i:
                raise InputError(f"nodes {seen[name]} and {i} are both called {name!r}; names must be unique")
    except TypeError as error:
        raise InputError(f"a name cannot be used: {error}") from None
    return called or None


def _shown(a: Any, b: Any, names: tuple[Any, ...] | None) -> str:
    """An edge under its owner's node names."""
    ends = (f"{names[i]!r}" if names is not None and 0 <= i < len(names) else str(i) for i in (a, b))
    return f"({', '.join(ends)})"
