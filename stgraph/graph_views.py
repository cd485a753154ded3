"""A token graph's edge list in the forms other libraries read."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.edges import EdgeList
from stgraph.errors import missing_dependency


def to_networkx(edges: EdgeList) -> Any:
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(range(edges.n_nodes))
    graph.add_weighted_edges_from(zip(edges.src.tolist(), edges.dst.tolist(), edges.weight.tolist(), strict=True))
    return graph


def to_igraph(edges: EdgeList) -> Any:
    graph = igraph_structure(edges)
    graph.es["weight"] = edges.weight.tolist()
    return graph


def igraph_structure(edges: EdgeList) -> Any:
    """igraph.Graph without weights: algorithms take those as a list, which costs less than storing them."""
    import igraph

    # A list of pairs is igraph's fastest way in; its array path goes through lists as well.
    return igraph.Graph(edges.n_nodes, list(zip(edges.src.tolist(), edges.dst.tolist(), strict=True)))


def to_scipy(edges: EdgeList) -> Any:
    from scipy.sparse import coo_array

    rows = np.concatenate([edges.src, edges.dst])
    columns = np.concatenate([edges.dst, edges.src])
    weight = np.concatenate([edges.weight, edges.weight])
    return coo_array((weight, (rows, columns)), shape=(edges.n_nodes, edges.n_nodes)).tocsr()


def _columns(edges: EdgeList, family: Any) -> dict[str, Any]:
    return {"src": edges.src, "dst": edges.dst, "weight": edges.weight, "family": family}


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


def to_cudf(edges: EdgeList) -> Any:
    try:
        import cudf
    except ImportError:
        raise missing_dependency("to_cudf()", "cudf", "cuda13") from None
    # float64: cuGraph's Louvain and Leiden lose gains below single precision.
    return cudf.DataFrame({"src": edges.src, "dst": edges.dst, "weight": edges.weight.astype(np.float64)})


def to_cugraph(edges: EdgeList) -> Any:
    try:
        import cudf
        import cugraph
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
        vertices=cudf.Series(np.arange(edges.n_nodes, dtype=np.int32)),
    )
    return graph
