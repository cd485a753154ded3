"""Edges of a token graph, listed on first access."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from stgraph.devices import to_device
from stgraph.edges import EdgeList
from stgraph.kernels import kernels_for

FAMILIES = ("right", "bottom", "temporal")


class LatticeEdges(EdgeList):
    """The lattice edges above a threshold, not listed until needed: code that works on the lattice does not need the
    list, and on a GPU listing would wait for the length.

    Attributes
    ----------
    similarity : [3, T, H, W] float32, as in :class:`stgraph.TokenGraph`
    tau : strict lower bound; -inf keeps every edge
    switches : whether right, bottom and temporal edges are used
    """

    similarity: Any
    tau: float
    switches: tuple[bool, bool, bool]

    def __init__(self, similarity: Any, tau: float, switches: tuple[bool, bool, bool]) -> None:
        _, T, H, W = similarity.shape
        for name, value in {"n_nodes": T * H * W, "similarity": similarity, "tau": tau, "switches": switches}.items():
            object.__setattr__(self, name, value)

    @cached_property
    def _listed(self) -> tuple[Any, Any, Any, Any]:
        found: tuple[Any, Any, Any, Any] = kernels_for(self.similarity, "edge_list").edges_above(
            self.similarity, self.tau, self.switches
        )
        return found

    @property
    def src(self) -> Any:
        """[E] int32."""
        return self._listed[0]

    @property
    def dst(self) -> Any:
        """[E] int32, src < dst."""
        return self._listed[1]

    @property
    def weight(self) -> Any:
        """[E] float32."""
        return self._listed[2]

    @property
    def family(self) -> Any:
        """[E] uint8: 0 right, 1 bottom, 2 temporal."""
        return self._listed[3]

    def to(self, device: Any) -> LatticeEdges:
        """The same edges on ``device``, where they are listed again; on "cpu" as NumPy arrays."""
        moved = to_device(self.similarity, device)
        return self if moved is self.similarity else LatticeEdges(moved, self.tau, self.switches)

    @property
    def anchor(self) -> Any:
        """The similarities."""
        return self.similarity
