"""Community backends that serve only as the study's controls: the effect of size alone, without an objective."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stgraph.aliases import Array
from stgraph.community.base import BACKENDS, COMPONENTS, BackendParams
from stgraph.community.objectives import default_resolution
from stgraph.edges import EdgeList
from stgraph.kernels.cpu.components import canonical_labels
from stgraph.lattice_edges import LatticeEdges


class ShuffledSizes:
    """Random communities with the sizes found by lattice-leiden."""

    name = "control-shuffled"
    package = "stgraph-video"
    capabilities = replace(COMPONENTS, seeded=True, canonical=False, ignores=("resolution",))

    def unavailable(self) -> str | None:
        return None

    def labels(self, edges: EdgeList, params: BackendParams) -> Array:
        from stgraph.kernels.cpu.leiden import leiden

        found = leiden(edges.n_nodes, edges.src, edges.dst, edges.weight, default_resolution("cpm"))
        return np.random.default_rng(params.seed).permutation(found)


class Boxes:
    """Boxes of t x y x x tokens, regardless of content."""

    package = "stgraph-video"
    capabilities = replace(COMPONENTS, canonical=True, thresholded=False)

    def __init__(self, t: int, y: int, x: int) -> None:
        self.name, self._box = f"control-boxes-{t}x{y}x{x}", (t, y, x)

    def unavailable(self) -> str | None:
        return None

    def labels(self, edges: EdgeList, params: BackendParams) -> Array:
        if not isinstance(edges, LatticeEdges):
            raise TypeError("boxes are cut out of a lattice")
        shape = edges.similarity.shape[1:]
        places = np.indices(shape).reshape(3, -1) // np.array(self._box)[:, None]
        counts = [-(-n // size) for n, size in zip(shape, self._box, strict=True)]
        boxes = np.ravel_multi_index(tuple(places), counts)
        return canonical_labels(boxes)[0]


CONTROLS = (ShuffledSizes(), Boxes(2, 2, 2), Boxes(4, 2, 2), Boxes(1, 4, 4))


def register_controls() -> tuple[str, ...]:
    """Register the controls as community backends, and return their names."""
    for control in CONTROLS:
        if control.name not in BACKENDS.names():
            BACKENDS.register(control.name, control)
    return tuple(control.name for control in CONTROLS)
