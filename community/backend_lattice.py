"""Our own connected components: union-find in compiled code, canonical from the start, where the graph is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stgraph.community.base import COMPONENTS, BackendParams
from stgraph.edges import EdgeList
from stgraph.kernels import kernels_for
from stgraph.lattice_edges import LatticeEdges


class LatticeComponents:
    """Connected components by union-find with path halving, near-linear in the edges."""

    name = "lattice-components"
    package = "stgraph-video"
    capabilities = replace(COMPONENTS, device="any", canonical=True)

    def unavailable(self) -> str | None:
        return None

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        if isinstance(edges, LatticeEdges):
            return kernels_for(edges.similarity, "lattice").components(edges.similarity, edges.tau, edges.switches)
        return kernels_for(edges.src, "components").connected_components(edges.n_nodes, edges.src, edges.dst)[0]


LATTICE_COMPONENTS = LatticeComponents()
