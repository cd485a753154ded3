"""A token graph's edge list in the forms other libraries read.

Views in host memory copy the edges of a graph on a GPU; those of GPU libraries copy those of a graph in host memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.devices import is_tensor, to_host
from stgraph.edges import EdgeList
from stgraph.errors import missing_dependency


def to_networkx(edges: EdgeList) -> Any:
    import networkx

    edges = edges.to("cpu")
    graph = networkx.Graph()
    graph.add_nodes_from(range(edges.n_nodes))
    graph.add_weighted_edges_from(zip(edges.src.tolist(), edges.dst.tolist(), edges.weight.tolist(), strict=True))
    return graph


def to_igraph(edges: EdgeList) -> Any:
    edges = edges.to("cpu")
    graph = igraph_structure(edges)
    graph.es["weight"] = edges.weight.tolist()
    return graph


def igraph_structure(edges: EdgeList) -> Any:
    """igraph.Graph without weights: algorithms take those as a list, which costs less than storing them."""
    import igraph

    edges = edges.to("cpu")
    # A list of pairs is igraph's fastest way in; its array path goes through lists as well.
    return igraph.Graph(edges.n_nodes, list(zip(edges.src.tolist(), edges.dst.tolist(), strict=True)))


def to_scipy(edges: EdgeList) -> Any:
    from scipy.sparse import coo_array

    edges = edges.to("cpu")
    rows = np.concatenate([edges.src, edges.dst])
    columns = np.concatenate([edges.dst, edges.src])
    weight = np.concatenate([edges.weight, edges.weight])
    return coo_array((weight, (rows, columns)), shape=(edges.n_nodes, edges.n_nodes)).tocsr()


def _columns(edges: EdgeList, family: Any) -> dict[str, Any]:
    edges = edges.to("cpu")
    return {"src": edges.src, "dst": edges.dst, "weight": edges.weight, "family": to_host(family)}


def to_arrow(edges: EdgeList, family: Any) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise missing_dependency("to_arrow()", "pyarrow", "arrow") from None
    return pyarrow.table(_columns(edges, family))


def to_pandas(edges: EdgeList, family: Any) -> Any:
    try:
        import pandas
    except ImportError:
        raise missing_dependency("to_pandas()", "pandas", "pandas") from None
    return pandas.DataFrame(_columns(edges, family))


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
    # Columns of CuPy arrays share their memory; cudf.from_dlpack copies. float64: cuGraph's Louvain and Leiden lose
    # gains below single precision.
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
