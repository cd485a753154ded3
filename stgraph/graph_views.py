"""Conversions of an edge list to other libraries' types.

Host views copy edges that lie on a GPU; GPU views copy edges that lie in host memory.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from stgraph.devices import is_tensor, to_host
from stgraph.edges import EdgeList
from stgraph.errors import missing_dependency
from stgraph.lattice_edges import FAMILIES, LatticeEdges


def to_networkx(edges: EdgeList) -> Any:
    import networkx

    place, family = _lattice_attributes(edges)
    names = range(edges.n_nodes) if edges.names is None else edges.names
    src, dst, weight = (column.tolist() for column in _host(edges))
    graph = networkx.Graph()
    if family is None:
        graph.add_nodes_from(names)
        graph.add_weighted_edges_from((names[a], names[b], w) for a, b, w in zip(src, dst, weight, strict=True))
        return graph
    t, y, x = (axis.tolist() for axis in place)
    graph.add_nodes_from((i, {"t": t[i], "y": y[i], "x": x[i]}) for i in names)
    graph.add_edges_from(
        (a, b, {"weight": w, "family": FAMILIES[f]})
        for a, b, w, f in zip(src, dst, weight, family.tolist(), strict=True)
    )
    return graph


def to_igraph(edges: EdgeList) -> Any:
    graph = igraph_structure(edges)
    place, family = _lattice_attributes(edges)
    graph.es["weight"] = _host(edges)[2].tolist()
    if edges.names is not None:
        graph.vs["name"] = list(edges.names)
    if family is not None:
        for name, axis in zip("tyx", place, strict=True):
            graph.vs[name] = axis.tolist()
        graph.es["family"] = [FAMILIES[f] for f in family.tolist()]
    return graph


def igraph_structure(edges: EdgeList) -> Any:
    """igraph.Graph without weights: algorithms take them as a list, which is cheaper than storing them."""
    import igraph

    edges = edges.to("cpu")
    # A list of pairs is igraph's fastest input; its array path goes through lists as well.
    return igraph.Graph(edges.n_nodes, list(zip(edges.src.tolist(), edges.dst.tolist(), strict=True)))


def to_scipy(edges: EdgeList) -> Any:
    from scipy.sparse import coo_array

    edges = edges.to("cpu")
    rows = np.concatenate([edges.src, edges.dst])
    columns = np.concatenate([edges.dst, edges.src])
    weight = np.concatenate([edges.weight, edges.weight])
    return coo_array((weight, (rows, columns)), shape=(edges.n_nodes, edges.n_nodes)).tocsr()


def to_arrow(edges: EdgeList) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise missing_dependency("to_arrow()", "pyarrow", "arrow") from None
    columns = _columns(edges)
    if "family" in columns:
        columns["family"] = pyarrow.DictionaryArray.from_arrays(columns["family"].astype(np.int8), list(FAMILIES))
    return pyarrow.table(columns).replace_schema_metadata({"stgraph": json.dumps(_nodes(edges), default=str)})


def to_pandas(edges: EdgeList) -> Any:
    try:
        import pandas
    except ImportError:
        raise missing_dependency("to_pandas()", "pandas", "pandas") from None
    columns = _columns(edges)
    if "family" in columns:
        columns["family"] = pandas.Categorical.from_codes(columns["family"], list(FAMILIES))
    frame = pandas.DataFrame(columns)
    frame.attrs["stgraph"] = _nodes(edges)
    return frame


def _columns(edges: EdgeList) -> dict[str, Any]:
    src, dst, weight = _host(edges)
    place, family = _lattice_attributes(edges)
    if edges.names is not None:
        called = ([edges.names[i] for i in ends.tolist()] for ends in (src, dst))
        return {"src": next(called), "dst": next(called), "weight": weight}
    columns = {"src": src, "dst": dst, "weight": weight}
    if family is None:
        return columns
    return columns | {"family": family} | {name: axis[src] for name, axis in zip("tyx", place, strict=True)}


def _nodes(edges: EdgeList) -> dict[str, Any]:
    """Metadata missing from a plain table of edges; :meth:`EdgeList.from_pandas` and ``from_arrow`` read it."""
    return {"n_nodes": edges.n_nodes} | ({} if edges.names is None else {"names": list(edges.names)})


def _host(edges: EdgeList) -> tuple[Any, Any, Any]:
    """(src, dst, weight) in host memory."""
    return to_host(edges.src), to_host(edges.dst), to_host(edges.weight)


def _lattice_attributes(edges: EdgeList) -> tuple[tuple[Any, ...], Any]:
    """(t, y, x) of all nodes, [N] int32 each, and the [E] family codes; empty and None off the lattice."""
    if not isinstance(edges, LatticeEdges):
        return (), None
    shape = tuple(edges.similarity.shape[1:])
    place = np.unravel_index(np.arange(edges.n_nodes), shape)
    return tuple(axis.astype(np.int32) for axis in place), to_host(edges.family)


def to_cupy(edges: EdgeList) -> tuple[Any, Any, Any]:
    """(src, dst, weight). Tensors are handed over by DLPack: CuPy's stream waits for torch's on the device."""
    try:
        import cupy
    except ImportError:
        raise missing_dependency("CuPy arrays", "cupy", "cuda13") from None
    arrays = (edges.src, edges.dst, edges.weight)
    take = cupy.from_dlpack if is_tensor(edges.src) else cupy.asarray
    src, dst, weight = (take(a) for a in arrays)
    return src, dst, weight


def to_cudf(edges: EdgeList) -> Any:
    try:
        import cudf
    except ImportError:
        raise missing_dependency("to_cudf()", "cudf", "cuda13") from None
    src, dst, weight = to_cupy(edges)
    # CuPy columns share their memory; cudf.from_dlpack copies. float64: in single precision cuGraph's Louvain and
    # Leiden lose small gains.
    columns = {"src": src, "dst": dst, "weight": weight.astype(np.float64)}
    return cudf.DataFrame({name: cudf.Series(column) for name, column in columns.items()})


def to_cugraph(edges: EdgeList) -> Any:
    try:
        import cudf
        import cugraph
        import cupy
    except ImportError:
        raise missing_dependency("to_cugraph()", "cugraph", "cuda13") from None
    graph = cugraph.Graph(directed=False)
    # Renumbering would make results depend on degrees; listing the vertices keeps isolated ones.
    graph.from_cudf_edgelist(
        to_cudf(edges),
        source="src",
        destination="dst",
        weight="weight",
        renumber=False,
        vertices=cudf.Series(cupy.arange(edges.n_nodes, dtype=np.int32)),
    )
    return graph
