"""SciPy's connected components, the reference for ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.community.base import COMPONENTS, BackendParams
from stgraph.edges import EdgeList


class ScipyComponents:
    """``scipy.sparse.csgraph.connected_components``."""

    name = "scipy-components"
    package = "scipy"
    capabilities = COMPONENTS

    def unavailable(self) -> str | None:
        return None

    def labels(self, edges: EdgeList, params: BackendParams) -> np.ndarray[Any, Any]:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        matrix = coo_array((edges.weight, (edges.src, edges.dst)), shape=(edges.n_nodes, edges.n_nodes)).tocsr()
        labels: np.ndarray[Any, Any] = connected_components(matrix, directed=False)[1]
        return labels


SCIPY_COMPONENTS = ScipyComponents()
