"""Export methods of graphs and edge lists to other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stgraph.edges import EdgeList


class Exports:
    """Base of classes with edges. Those of a token graph also export node positions and edge families."""

    if TYPE_CHECKING:

        @property
        def listed_edges(self) -> EdgeList:
            """The edges, as a list."""
            ...

    def to_networkx(self) -> Any:
        """networkx.Graph with all N nodes, under their names if they have any, and the edge attribute ``weight``; for a
        token graph also the node attributes ``t``, ``y``, ``x`` and the edge attribute ``family`` ("right", "bottom",
        "temporal")."""
        from stgraph import graph_views

        return graph_views.to_networkx(self.listed_edges)

    def to_igraph(self) -> Any:
        """igraph.Graph with the attributes of :meth:`to_networkx`; names are the vertex attribute ``name``."""
        from stgraph import graph_views

        return graph_views.to_igraph(self.listed_edges)

    def to_scipy(self) -> Any:
        """Symmetric scipy.sparse.csr_array [N, N] float32."""
        from stgraph import graph_views

        return graph_views.to_scipy(self.listed_edges)

    def to_arrow(self) -> Any:
        """pyarrow.Table: src, dst int32 (or names), weight float32; for a token graph also family, a dictionary of
        "right", "bottom", "temporal", and t, y, x int32 of src. dst lies one step to the right, below, or in the next
        frame."""
        from stgraph import graph_views

        return graph_views.to_arrow(self.listed_edges)

    def to_pandas(self) -> Any:
        """pandas.DataFrame with the columns of :meth:`to_arrow`, family as categories."""
        from stgraph import graph_views

        return graph_views.to_pandas(self.listed_edges)

    def to_cupy(self) -> tuple[Any, Any, Any]:
        """CuPy arrays (src, dst int32, weight float32), not copied if the edges lie on a GPU. Needs a CUDA device and
        CuPy."""
        from stgraph import graph_views

        return graph_views.to_cupy(self.listed_edges)

    def to_cudf(self) -> Any:
        """cudf.DataFrame (src, dst int32, not copied if the edges lie on a GPU; weight float64). Needs a CUDA device
        and cuDF."""
        from stgraph import graph_views

        return graph_views.to_cudf(self.listed_edges)

    def to_cugraph(self) -> Any:
        """cugraph.Graph with every vertex listed and no renumbering. Needs a CUDA device and cuGraph."""
        from stgraph import graph_views

        return graph_views.to_cugraph(self.listed_edges)
