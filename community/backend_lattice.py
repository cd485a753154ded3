"""Our own backends, on the graph's device: connected components, Leiden, and lattice segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stgraph.community.base import COMPONENTS, BackendParams, Capabilities
from stgraph.community.parameters import Parameter
from stgraph.edges import EdgeList
from stgraph.kernels import kernels_for
from stgraph.lattice_edges import LatticeEdges


class _Lattice:
    """Base of our backends, which come with the package."""

    package = "stgraph-video"

    def unavailable(self) -> str | None:
        return None


class LatticeComponents(_Lattice):
    """Connected components by union-find with path halving, near-linear in the edges."""

    name = "lattice-components"
    capabilities = replace(COMPONENTS, device="any", canonical=True)

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        if isinstance(edges, LatticeEdges):
            return kernels_for(edges.similarity, "lattice").components(edges.similarity, edges.tau, edges.switches)
        return kernels_for(edges.src, "components").connected_components(edges.n_nodes, edges.src, edges.dst)[0]


_COMPILED = Capabilities(
    device="cpu",
    objective="cpm",
    weighted=True,
    seeded=False,
    deterministic=True,
    native_cap=True,
    canonical=True,
    ignores=("seed",),
)


class LatticeLeiden(_Lattice):
    """Leiden in compiled loops, linear in the edges, without randomness; communities are connected. On tokens it starts
    from boxes of the lattice, on other graphs from single nodes. Edges on a GPU are searched there in rounds of moves:
    other labels of nearly the same quality."""

    parameters: Mapping[str, Parameter] = {
        "n_iterations": Parameter(2, "passes, each starting from the communities of the last", least=1, most=1_000)
    }

    def __init__(self, name: str, objective: str) -> None:
        self.name = name
        self.capabilities = replace(_COMPILED, objective=objective, device="any", not_yet_run_on=("cuda",))

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        return kernels_for(edges.src, "leiden").leiden(
            edges.n_nodes,
            edges.src,
            edges.dst,
            edges.weight,
            params.resolution,
            modularity=self.capabilities.objective == "modularity",
            max_size=params.max_size,
            n_iterations=int(params.options["n_iterations"]),
            lattice=(edges.similarity, edges.tau, edges.switches) if isinstance(edges, LatticeEdges) else None,
        )


class LatticeSegments(_Lattice):
    """Felzenszwalb and Huttenlocher's segmentation over every lattice edge, without a threshold."""

    name = "lattice-segments"
    capabilities = replace(_COMPILED, objective="segmentation", thresholded=False, ignores=("resolution", "seed"))
    parameters: Mapping[str, Parameter] = {
        "scale": Parameter(0.2, "larger gives larger segments; in units of 1 - cosine", least=0.0),
        "min_size": Parameter(1, "smaller segments join the neighbour most like them", least=1, most=2**31 - 1),
    }

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        from stgraph.kernels.cpu.segments import segment_labels

        return segment_labels(
            edges.n_nodes,
            edges.src,
            edges.dst,
            edges.weight,
            params.options["scale"],
            min_size=int(params.options["min_size"]),
            max_size=params.max_size,
        )


LATTICE_COMPONENTS = LatticeComponents()
LATTICE_LEIDEN = LatticeLeiden("lattice-leiden", "cpm")
LATTICE_LEIDEN_MODULARITY = LatticeLeiden("lattice-leiden-modularity", "modularity")
LATTICE_SEGMENTS = LatticeSegments()
