"""Edge lists from the graphs of other libraries.

One policy for all: undirected simple graphs. Directed graphs, multigraphs, self-loops, repeated pairs, and weights that
are missing on some edges or not finite are refused, with the call that fixes them; nothing is summed, dropped or made
up. Negative weights are accepted, since cosines can be negative; a backend that cannot use them says so.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.edges import EdgeList
from stgraph.errors import InputError, missing_dependency

Weight = str | None | EllipsisType  # Ellipsis: "weight" where the edges carry it, else 1


def from_networkx(graph: Any, weight: Weight) -> EdgeList:
    if not all(hasattr(graph, name) for name in ("is_directed", "is_multigraph", "nodes", "adj")):
        raise InputError(f"from_networkx got {type(graph).__name__}; pass a networkx.Graph")
    if graph.is_directed():
        raise InputError("the graph is directed; communities need an undirected one: pass g.to_undirected()")
    if graph.is_multigraph():
        raise InputError(
            "the graph is a multigraph; parallel edges have no single weight: sum or choose, for example "
            "networkx.Graph(g), which keeps the last of each"
        )
    names, place = _numbered(list(graph.nodes))
    attribute = "weight" if weight is ... else weight
    ends = [(place[a], place[b]) for a, b in graph.edges]
    values = None if attribute is None else [found for _, _, found in graph.edges(data=attribute)]
    return _edge_list(len(graph), ends, values, weight, names)


def from_igraph(graph: Any, weight: Weight) -> EdgeList:
    if not all(hasattr(graph, name) for name in ("is_directed", "vcount", "get_edgelist", "es")):
        raise InputError(f"from_igraph got {type(graph).__name__}; pass an igraph.Graph")
    if graph.is_directed():
        raise InputError(
            "the graph is directed; communities need an undirected one: pass g.as_undirected(combine_edges='sum')"
        )
    if not graph.is_simple():
        raise InputError(
            "the graph has self-loops or parallel edges; pass g.simplify(combine_edges='sum'), which drops the loops "
            "and sums the weights"
        )
    attribute, known = "weight" if weight is ... else weight, graph.es.attributes()
    values = graph.es[attribute] if attribute in known else None
    if attribute is not None and values is None and weight is not ...:
        raise InputError(f"edges have no attribute {attribute!r}; they have: {', '.join(known) or 'none'}")
    names = tuple(graph.vs["name"]) if "name" in graph.vs.attributes() else None
    return _edge_list(graph.vcount(), graph.get_edgelist(), values, weight, names)


def from_scipy(matrix: Any, names: Sequence[Hashable] | None) -> EdgeList:
    if not hasattr(matrix, "tocsr"):
        raise InputError(
            f"from_scipy got {type(matrix).__name__}; pass a scipy.sparse array: scipy.sparse.csr_array(x)"
        )
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"the matrix has shape {matrix.shape}; an adjacency matrix is square")
    given = matrix.tocsr().tocoo()  # entries given twice are summed, as SciPy defines them
    row, column, value = given.row.astype(np.int64), given.col.astype(np.int64), given.data
    if value.dtype.kind not in "iufb":
        raise InputError(f"the matrix has dtype {value.dtype}; weights are real numbers")
    loops = (row == column) & (value != 0)
    if loops.any():
        i = int(row[np.argmax(loops)])
        raise InputError(
            f"entry ({i}, {i}) is {value[np.argmax(loops)]}, a self-loop; clear the diagonal: m.setdiag(0)"
        )
    upper, lower = row < column, row > column
    n = matrix.shape[0]
    above = _ordered(row[upper] * n + column[upper], value[upper])
    below = _ordered(column[lower] * n + row[lower], value[lower])
    if not np.array_equal(above[0], below[0]) or not np.array_equal(above[1], below[1], equal_nan=True):
        i, j = divmod(_first_difference(above, below), n)
        raise InputError(
            f"the matrix is not symmetric: entry ({i}, {j}) and entry ({j}, {i}) differ, as in a directed graph. Pass "
            "m + m.T if each edge is stored in one triangle, (m + m.T) / 2 for the mean"
        )
    src, dst = np.divmod(above[0], max(n, 1))
    return EdgeList.from_arrays(n, src, dst, above[1].astype(np.float64), names=names)


def from_pandas(frame: Any, source: str, target: str, weight: Weight, nodes: Any) -> EdgeList:
    if not hasattr(frame, "columns") or not hasattr(frame, "iloc"):
        raise InputError(f"from_pandas got {type(frame).__name__}; pass a pandas.DataFrame with one row per edge")
    known = list(frame.columns)
    a, b, values = _chosen(known, source, target, weight)

    def read(name: str) -> Array:
        column = frame[name]
        if getattr(column, "ndim", 1) != 1:
            raise InputError(f"the table has several columns {name!r}; rename them")
        _refuse_missing(name, np.asarray(column.isna()))
        kind = getattr(column.dtype, "kind", "O")
        return np.asarray(column.to_numpy() if kind in "iufb" else _objects(column.tolist()))

    return _from_columns(read(a), read(b), None if values is None else read(values), nodes, frame.attrs.get("stgraph"))


def from_arrow(table: Any, source: str, target: str, weight: Weight, nodes: Any) -> EdgeList:
    try:
        import pyarrow
    except ImportError:
        raise missing_dependency("from_arrow()", "pyarrow", "arrow") from None
    if not isinstance(table, pyarrow.Table):
        if not hasattr(table, "__arrow_c_stream__") and not hasattr(table, "__arrow_c_array__"):
            raise InputError(f"from_arrow got {type(table).__name__}; pass a pyarrow.Table with one row per edge")
        table = pyarrow.table(table)
    a, b, values = _chosen(table.column_names, source, target, weight)

    def read(name: str) -> Array:
        if table.column_names.count(name) > 1:
            raise InputError(f"the table has several columns {name!r}; rename them")
        column = table.column(name)
        _refuse_missing(name, np.asarray(column.is_null()))
        numeric = pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type)
        return np.asarray(column.to_numpy() if numeric else _objects(column.to_pylist()))

    said = (table.schema.metadata or {}).get(b"stgraph")
    return _from_columns(read(a), read(b), None if values is None else read(values), nodes, said and json.loads(said))


def _numbered(nodes: list[Any]) -> tuple[tuple[Any, ...] | None, Mapping[Any, int]]:
    """Names (None if nodes are already 0..n-1) and the id of each."""
    if all(isinstance(node, (int, np.integer)) and not isinstance(node, bool) for node in nodes):
        ids = sorted(int(node) for node in nodes)
        if ids == list(range(len(nodes))):
            return None, dict(zip(ids, ids, strict=True))
    return tuple(nodes), {name: i for i, name in enumerate(nodes)}


def _edge_list(
    n: int, ends: Sequence[tuple[int, int]], values: list[Any] | None, weight: Weight, names: Any
) -> EdgeList:
    """The edge list of pairs with attribute values; None means missing."""
    pairs = np.array(ends, np.int64).reshape(-1, 2)
    weights = None
    if values is not None:
        absent = [i for i, value in enumerate(values) if value is None]
        if absent and not (weight is ... and len(absent) == len(values)):
            a, b = (int(i) if names is None else names[i] for i in pairs[absent[0]])
            attribute = "weight" if weight is ... else weight
            raise InputError(
                f"{len(absent):,} of {len(values):,} edges have no {attribute!r}, first ({a!r}, {b!r}): give it "
                "to all, or pass weight=None, which counts every edge as 1"
            )
        weights = None if absent else _numbers(values)
    return EdgeList.from_arrays(n, pairs[:, 0], pairs[:, 1], weights, names=names)


def _numbers(values: Iterable[Any]) -> Array:
    found = np.array(list(values))
    if found.size and found.dtype.kind not in "iuf":
        odd = next((v for v in values if not isinstance(v, (int, float, np.number)) or isinstance(v, bool)), found[0])
        raise InputError(f"an edge has the weight {odd!r}; weights are real numbers")
    return found


def _ordered(key: Array, value: Array) -> tuple[Array, Array]:
    order = np.argsort(key)
    return key[order], value[order]


def _first_difference(above: tuple[Array, Array], below: tuple[Array, Array]) -> int:
    """The smallest pair (as i n + j) on which the two triangles differ."""
    one_sided = np.setxor1d(above[0], below[0])
    both, i, j = np.intersect1d(above[0], below[0], return_indices=True)
    return int(min([*one_sided[:1], *both[above[1][i] != below[1][j]][:1]]))


def _chosen(known: Sequence[Any], source: str, target: str, weight: Weight) -> tuple[str, str, str | None]:
    """The names of the three columns; an error lists the existing ones."""
    named = [source, target] + ([] if weight is None or weight is ... else [weight])
    for name in named:
        if name not in known:
            raise InputError(
                f"the table has no column {name!r}; it has: {', '.join(map(str, known))}. Name the columns with "
                "source=, target= and weight="
            )
    if weight is ...:
        return source, target, "weight" if "weight" in known else None
    return source, target, weight


def _refuse_missing(name: str, absent: Array) -> None:
    if absent.any():
        raise InputError(
            f"{name!r} is missing in {int(absent.sum()):,} of {absent.size:,} rows, first in row "
            f"{int(np.argmax(absent))}: fill or drop them"
        )


def _objects(values: list[Any]) -> Array:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _from_columns(a: Array, b: Array, values: Array | None, nodes: Any, said: Any) -> EdgeList:
    """Integer columns are ids, unless ``nodes`` lists names; other columns are names."""
    said = said if isinstance(said, dict) else {}
    listed = nodes if nodes is not None else said.get("names")
    if listed is None:
        listed = said.get("n_nodes")
    weights = values if values is None or values.dtype.kind in "iuf" else _numbers(values.tolist())
    if listed is None or isinstance(listed, (int, np.integer)):
        if a.dtype.kind in "iu" and b.dtype.kind in "iu":
            largest = max((int(column.max()) for column in (a, b) if column.size), default=-1)
            return EdgeList.from_arrays(largest + 1 if listed is None else int(listed), a, b, weights)
        if nodes is not None:
            raise InputError(f"nodes is {nodes}, but the endpoints are names; give the list of names, or leave it out")
        for column in (a, b):
            if column.dtype.kind == "f":
                raise InputError(f"the endpoints have dtype {column.dtype}; they must be integers or names")
        in_order = dict.fromkeys(name for pair in zip(a.tolist(), b.tolist(), strict=True) for name in pair)
        listed = list(in_order)
    names = tuple(listed)
    place = {name: i for i, name in enumerate(names)}
    try:
        src, dst = (np.array([place[name] for name in column.tolist()], np.int64) for column in (a, b))
    except KeyError as error:
        raise InputError(f"an edge ends at {error.args[0]!r}, which is not among the {len(names):,} nodes") from None
    return EdgeList.from_arrays(len(names), src, dst, weights, names=names)
